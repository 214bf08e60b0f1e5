"""Families of people: what they do, from where they are seen, how well they were detected."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.body import COCO_TO_JOINTS, JOINT_NAMES
from bilayer_graph.person import Person
from bilayer_graph.training.evaluation import Batch
from bilayer_graph.training.picture_errors import Sample

Families = dict[str, dict[str, Tensor]]
"""Who belongs to a family ``[N]``, by kind and name; everybody is in one family of each kind."""

# Limits in degrees, joints, shares of the box and metres.
_UPRIGHT, _UPSIDE_DOWN = 45.0, 100.0
_FEW, _COVERED = 2, 8
_SMALL, _LARGE = 0.05, 0.1
_FAR = 4.0

_LIMBS = list(COCO_TO_JOINTS)
_LEFT, _RIGHT = (
    [JOINT_NAMES.index(f"{side}_{part}") for part in ("shoulder", "hip")]
    for side in ("left", "right")
)


def lifted_families(batch: Batch) -> Families:
    """Return the families of people without pictures.

    Args:
        batch: Samples as :class:`~bilayer_graph.synthetic.GeometrySamples` gives them.
    """
    ahead = torch.tensor([0.0, 0.0, -1.0]).expand_as(batch["up"])
    found, true = batch["keypoints"][:, _LIMBS], batch["keypoints_true"]
    return {
        "trunk": trunk_families(batch["joints"], batch["up"]),
        "pose": _pose_families(batch["posture"]),
        "seen from": heading_families(batch["joints"], ahead),
        "limb joints missing": _number_families(found[..., 2] <= 0),
        "mean error of the limb keypoints": keypoint_families(found, true),
    }


def picture_families(sample: Sample, person: Person | None) -> Families:
    """Return the families of the one person of a whole picture, masks of length 1.

    Args:
        sample: A sample of :class:`~bilayer_graph.synthetic.Scenes`.
        person: Who was recovered of it, if anybody.
    """
    joints, place = sample["joints"][None], sample["place"][None]
    true, visible = sample["keypoints_true"][None, _LIMBS], sample["visible"][None, _LIMBS]
    found = torch.zeros(1, 12, 3) if person is None else person.keypoints[None, _LIMBS]
    height, width = sample["picture"].shape[-2:]
    inside = ((true >= 0) & (true < torch.tensor([width, height]))).all(-1)
    near = place.norm(dim=-1) < _FAR
    return {
        "trunk": trunk_families(joints, sample["up"][None]),
        "pose": _pose_families(sample["posture"][None]),
        "seen from": heading_families(joints, -place),
        "limb joints hidden": _number_families(~visible),
        "in the picture": frame_families(inside, visible),
        "distance": {f"below {_FAR:g} m": near, f"{_FAR:g} m and more": ~near},
        "mean error of the limb keypoints": keypoint_families(found, true),
    }


def trunk_families(joints: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Return who is upright, bent or lying, and upside down, against gravity.

    Args:
        joints: The 12 joints in camera axes, ``[N, 12, 3]``.
        up: Against gravity, in the same axes, ``[N, 3]``.
    """
    angle = F.cosine_similarity(_trunk(joints), up, dim=-1).clamp(-1, 1).acos().rad2deg()
    upright, down = angle <= _UPRIGHT, angle > _UPSIDE_DOWN
    return {
        f"within {_UPRIGHT:g} degrees of upright": upright,
        f"{_UPRIGHT:g} to {_UPSIDE_DOWN:g}: bent, crawling, lying": ~upright & ~down,
        "upside down": down,
    }


def heading_families(joints: Tensor, camera: Tensor) -> dict[str, Tensor]:
    """Return whom the camera sees from the front, the side and the back: quarters about the trunk.

    Args:
        joints: The 12 joints in camera axes, ``[N, 12, 3]``.
        camera: From the person towards the camera, ``[N, 3]``.
    """
    trunk = _trunk(joints)
    across = joints[:, _LEFT].mean(1) - joints[:, _RIGHT].mean(1)
    ahead = torch.linalg.cross(across, trunk)
    aside = torch.linalg.cross(trunk, ahead)
    along, beside = ((F.normalize(axis, dim=-1) * camera).sum(-1) for axis in (ahead, aside))
    front, back = along >= beside.abs(), -along > beside.abs()
    return {"the front": front, "the side": ~front & ~back, "the back": back}


def frame_families(inside: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """Return who is in full view, cut off by the frame, and covered by something or themselves.

    Args:
        inside: Which limb joints are in the picture, ``[N, 12]``.
        visible: Which of them are seen, ``[N, 12]``.
    """
    whole, covered = inside.all(-1), visible.sum(-1) < _COVERED
    return {
        "in full view": whole & ~covered,
        "cut off: a limb joint outside": ~whole,
        f"covered: fewer than {_COVERED} limb joints seen": whole & covered,
    }


def keypoint_families(found: Tensor, true: Tensor) -> dict[str, Tensor]:
    """Return how far the detected limb joints are off, in the mean of a person.

    Args:
        found: x, y and confidence, 0 of a missing joint, ``[N, 12, 3]``.
        true: ``[N, 12, 2]``; the longer side of the box around them is the unit.
    """
    there = found[..., 2] > 0
    box = (true.amax(1) - true.amin(1)).amax(1)
    apart = torch.where(there, (found[..., :2] - true).norm(dim=-1), 0)
    # NaN where nothing was found.
    error = apart.sum(1) / there.sum(1) / box
    small, large = error < _SMALL, error > _LARGE
    return {
        f"below {_SMALL:g} of the box": small,
        f"{_SMALL:g} to {_LARGE:g}": (error >= _SMALL) & ~large,
        f"above {_LARGE:g}": large,
        "nobody found": error.isnan(),
    }


def _trunk(joints: Tensor) -> Tensor:
    """Return what leads from the middle of the hips to that of the shoulders, ``[N, 3]``."""
    shoulder, hip = (joints[:, list(pair)].mean(1) for pair in zip(_LEFT, _RIGHT, strict=True))
    return shoulder - hip


def _pose_families(posture: Tensor) -> dict[str, Tensor]:
    return {"everyday posture of the sampler": posture, "real or recombined": ~posture}


def _number_families(lacking: Tensor) -> dict[str, Tensor]:
    """Split by how many of the limb joints ``[N, 12]`` lack."""
    number = lacking.sum(-1)
    none, many = number == 0, number > _FEW
    return {"none": none, f"1 to {_FEW}": ~none & ~many, f"{_FEW + 1} and more": many}
