"""Errors of people recovered from whole pictures, the detector's included."""

import torch
from torch import Tensor

from bilayer_graph.body import COCO_TO_JOINTS, ReducedBody
from bilayer_graph.person import Person
from bilayer_graph.training import metrics
from bilayer_graph.training.lifted_errors import NEAR, mesh_quality

Sample = dict[str, Tensor]


def nearest_person(people: list[Person], sample: Sample) -> Person | None:
    """Return who is nearest to the true keypoints in the picture; ``None`` if nobody is near.

    Nobody is nearer than half of the person's box: then the person was missed.
    """
    true, seen = sample["keypoints_true"], sample["visible"]
    if not people or not seen.any():
        return None
    apart = torch.stack(
        [(person.keypoints[:, :2] - true).norm(dim=-1)[seen].mean() for person in people]
    )
    return people[int(apart.argmin())] if apart.min() < box_side(true) / 2 else None


def picture_errors(person: Person, sample: Sample, body: ReducedBody) -> dict[str, float]:
    """Return the errors of one recovered person.

    Args:
        person: Who was recovered.
        sample: A sample of :class:`~bilayer_graph.synthetic.Scenes`.
        body: The body at some vertices.

    Returns:
        ``MPJPE``, ``PA-MPJPE`` and ``PVE`` in millimetres as
        :func:`~bilayer_graph.training.lifted_errors.lifted_errors`; ``near`` of the recovered
        joints that are visible; ``found 0.05`` and ``found 0.1``, the shares of visible keypoints
        that the detector found within so much of the box.
    """
    bones = body.place(sample["rotations"][None], sample["betas"][None])
    joints, vertices = body.joints(bones), body.vertices(bones)
    found, index = person.joints[None], body.index
    true, seen = sample["keypoints_true"], sample["visible"]
    side = box_side(true)
    limbs = list(COCO_TO_JOINTS)
    off = (person.joints2d - true[limbs]).norm(dim=-1)[seen[limbs]] / side
    detected = (person.keypoints[:, :2] - true).norm(dim=-1)[seen] / side
    return {
        "MPJPE": float(metrics.mpjpe(found, joints, (2, 3))),
        "PA-MPJPE": float(metrics.pa_mpjpe(found, joints)),
        "PVE": float(metrics.pve(person.vertices[None, index], vertices)),
        "near": float((off <= NEAR).float().mean()),
        "found 0.05": float((detected <= 0.05).float().mean()),
        "found 0.1": float((detected <= 0.1).float().mean()),
    }


def shape_errors(person: Person, sample: Sample, whole: ReducedBody) -> dict[str, float]:
    """Return how well-formed a recovered mesh is; ``whole`` is the body at all its vertices."""
    true = whole.vertices(whole.place(sample["rotations"][None], sample["betas"][None]))
    quality = mesh_quality(person.vertices[None], whole.template, true, person.faces)
    return {name: float(value) for name, value in quality.items()}


def box_side(points: Tensor) -> Tensor:
    """Return the longer side of the box around points ``[N, 2]``."""
    return (points.amax(0) - points.amin(0)).amax()
