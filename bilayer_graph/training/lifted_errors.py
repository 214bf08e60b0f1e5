"""Errors of recovered bodies: where they are in space, and in their picture."""

import torch
from torch import Tensor

from bilayer_graph.body import COCO_TO_JOINTS, BodyModel, look_at
from bilayer_graph.models import BilayerHMR
from bilayer_graph.models.lifting import Crops, LiftedBodies, lift
from bilayer_graph.training import metrics
from bilayer_graph.training.evaluation import Batch

NEAR = 0.05
"""A projected joint is right within this share of the box around the true ones."""


@torch.no_grad()
def lifted_errors(
    model: BilayerHMR, body: BodyModel, batch: Batch, flip: bool = True, refine: bool = True
) -> Batch:
    """Return the errors of each of B recovered people.

    Args:
        model: The model.
        body: The body of the samples.
        batch: Samples as :class:`~bilayer_graph.synthetic.GeometrySamples` gives them.
        flip: As for :func:`~bilayer_graph.models.lifting.lift`.
        refine: As for :func:`~bilayer_graph.models.lifting.lift`.

    Returns:
        ``[B]`` each: ``MPJPE`` (12 joints, mid-hip-centred), ``PA-MPJPE`` and ``PVE`` of the body
        in millimetres (pelvis-centred, the model's vertices), ``PVE free`` of the mesh branch, and
        ``near``, the share of joints that project within 0.05 of the box of the true ones.
    """
    crops = Crops(batch["keypoints"], batch["centre"], batch["half"])
    lifted = lift(model, body, crops, flip, refine)
    turn = look_at(batch["centre"])
    joints = lifted.joints @ turn.mT
    index = model.vertex_index
    return {
        "MPJPE": metrics.mpjpe(joints, batch["joints"], body.skeleton.root),
        "PA-MPJPE": metrics.pa_mpjpe(joints, batch["joints"]),
        "PVE": metrics.pve(lifted.vertices[:, index] @ turn.mT, batch["vertices"]),
        "PVE free": metrics.pve(lifted.free_vertices[:, index] @ turn.mT, batch["vertices"]),
        "near": _near(lifted, body, batch),
    }


def _near(lifted: LiftedBodies, body: BodyModel, batch: Batch) -> Tensor:
    points = body.keypoints(lifted.vertices)[:, list(COCO_TO_JOINTS)] + lifted.place.unsqueeze(1)
    tangents = points[..., :2] / points[..., 2:]
    found = (tangents - batch["centre"].unsqueeze(1)) / batch["half"].view(-1, 1, 1)
    true = batch["keypoints_true"]
    box = (true.amax(1) - true.amin(1)).amax(1, keepdim=True)
    distance: Tensor = (found - true).norm(dim=-1)
    return (distance <= NEAR * box).float().mean(1)


def mesh_quality(mesh: Tensor, template: Tensor, true: Tensor, faces: Tensor) -> Batch:
    """Return how well-formed meshes ``[B, V, 3]`` are.

    Args:
        mesh: The meshes.
        template: The body at rest, ``[V, 3]``.
        true: The true bodies, ``[B, V, 3]``.
        faces: Triangles, ``[F, 3]``.

    Returns:
        ``stretched``, the share of edges whose length is outside 0.5 to 2 of the template's, and
        ``volume``, the volume over the true body's, ``[B]`` each.
    """
    start, end = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).unbind(1)
    length = (mesh[:, start] - mesh[:, end]).norm(dim=-1)
    ratio = length / (template[start] - template[end]).norm(dim=-1).clamp_min(1e-9)
    return {
        "stretched": ((ratio < 0.5) | (ratio > 2)).float().mean(1),
        "volume": volume(mesh, faces) / volume(true, faces),
    }


def volume(mesh: Tensor, faces: Tensor) -> Tensor:
    """Return the volumes that closed meshes ``[B, V, 3]`` enclose, ``[B]``."""
    a, b, c = (mesh[:, faces[:, corner]] for corner in range(3))
    volumes: Tensor = (a * torch.linalg.cross(b, c)).sum((1, 2)) / 6
    return volumes
