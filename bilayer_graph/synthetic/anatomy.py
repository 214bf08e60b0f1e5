"""Ranges of motion of the 23 body joints, and rotation matrices from their angles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bilayer_graph.body.joints import SMPL_JOINT_NAMES

BODY_JOINTS: tuple[str, ...] = SMPL_JOINT_NAMES[1:]

# Degrees (low, high) about x, y and z of the T-pose, for the centre and the left side.
# Legs and spine: x bends, y twists, z leans. Arms: y swings forward (negative), z raises, x twists.
_DEGREES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "hip": ((-125, 25), (-35, 45), (-20, 45)),
    "knee": ((0, 145), (-10, 10), (-4, 4)),
    "ankle": ((-20, 45), (-15, 15), (-15, 15)),
    "foot": ((-30, 20), (0, 0), (0, 0)),
    "spine1": ((-10, 25), (-15, 15), (-12, 12)),
    "spine2": ((-10, 25), (-15, 15), (-12, 12)),
    "spine3": ((-10, 25), (-15, 15), (-12, 12)),
    "neck": ((-20, 25), (-30, 30), (-15, 15)),
    "head": ((-20, 25), (-30, 30), (-15, 15)),
    "collar": ((-10, 10), (-15, 15), (-8, 22)),
    "shoulder": ((-110, 110), (-130, 50), (-85, 80)),
    "elbow": ((-40, 40), (-145, 0), (-5, 5)),
    "wrist": ((-25, 25), (-20, 20), (-50, 50)),
    "hand": ((0, 0), (0, 0), (-20, 10)),
}
_ARM_JOINTS = ("collar", "shoulder", "elbow", "wrist", "hand")
_IS_ARM = torch.tensor([name.endswith(_ARM_JOINTS) for name in BODY_JOINTS])
_RIGHT = torch.tensor([name.startswith("right") for name in BODY_JOINTS])
_MIRROR = torch.tensor(
    [
        BODY_JOINTS.index(name.replace("left", "*").replace("right", "left").replace("*", "right"))
        for name in BODY_JOINTS
    ]
)
_FLIP = torch.tensor([1.0, -1.0, -1.0])


def joint_limits() -> Tensor:
    """Return lowest and highest angles ``[2, 23, 3]`` in radians, as for :func:`to_matrices`."""
    left = torch.tensor([_DEGREES[name.split("_")[-1]] for name in BODY_JOINTS])
    low, high = (left * (math.pi / 180)).unbind(-1)
    mirrored = torch.stack([high * _FLIP, low * _FLIP]).sort(dim=0).values
    right = _RIGHT.view(1, -1, 1) & (_FLIP < 0)
    return torch.where(right, mirrored, torch.stack([low, high]))


def mirror_right(angles: Tensor) -> Tensor:
    """Turn angles ``[.., 23, 3]`` with both sides written as left to true right-side angles."""
    right = _RIGHT.to(angles.device).unsqueeze(-1)
    return torch.where(right, angles * _FLIP.to(angles), angles)


def mirror_pose(angles: Tensor) -> Tensor:
    """Mirror a pose: sides exchanged, y and z angles negated."""
    return angles[..., _MIRROR.to(angles.device), :] * _FLIP.to(angles)


def to_matrices(angles: Tensor) -> Tensor:
    r"""Return the rotation matrices of joint angles.

    Arms turn as :math:`R_y R_z R_x` (plane of elevation, elevation, twist), all other joints as
    :math:`R_x R_z R_y` (bend, lean, twist), so that no joint comes near its gimbal lock.

    Args:
        angles: ``[.., 23, 3]`` radians about x, y and z.

    Returns:
        ``[.., 23, 3, 3]``
    """
    cos, sin = angles.cos(), angles.sin()
    (cx, cy, cz), (sx, sy, sz) = cos.unbind(-1), sin.unbind(-1)
    arm = torch.stack(
        [
            *(cy * cz, sx * sy - cx * cy * sz, cx * sy + sx * cy * sz),
            *(sz, cx * cz, -sx * cz),
            *(-sy * cz, sx * cy + cx * sy * sz, cx * cy - sx * sy * sz),
        ],
        dim=-1,
    )
    other = torch.stack(
        [
            *(cz * cy, -sz, cz * sy),
            *(cx * sz * cy + sx * sy, cx * cz, cx * sz * sy - sx * cy),
            *(sx * sz * cy - cx * sy, sx * cz, sx * sz * sy + cx * cy),
        ],
        dim=-1,
    )
    is_arm = _IS_ARM.to(angles.device).unsqueeze(-1)
    return torch.where(is_arm, arm, other).view(*angles.shape, 3)
