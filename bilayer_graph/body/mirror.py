"""People seen in a mirror: x reversed, left and right exchanged."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bilayer_graph.body.joints import COCO_NAMES, LEFT_RIGHT, SMPL_JOINT_NAMES


def mirror_order(names: Sequence[str]) -> tuple[int, ...]:
    """Return for each joint the one on the other side, by ``left`` and ``right`` in its name."""
    swapped = [
        name.replace("left", "*").replace("right", "left").replace("*", "right") for name in names
    ]
    return tuple(names.index(name) for name in swapped)


COCO_LEFT_RIGHT = mirror_order(COCO_NAMES)
SMPL_LEFT_RIGHT = mirror_order(SMPL_JOINT_NAMES)


def mirror_keypoints(keypoints: Tensor) -> Tensor:
    """Mirror COCO keypoints ``[.., 17, 2 or 3]``: x, y around 0, and a confidence."""
    return _reverse_x(keypoints[..., list(COCO_LEFT_RIGHT), :])


def mirror_joints(joints: Tensor) -> Tensor:
    """Mirror the twelve joints ``[.., 12, 2 or 3]``."""
    return _reverse_x(joints[..., list(LEFT_RIGHT), :])


def mirror_rotations(rotations: Tensor) -> Tensor:
    """Mirror the bones' rotations ``[.., 24, 3, 3]``, relative or not.

    :math:`R' = S R S` with :math:`S = diag(-1, 1, 1)`, entry by entry.
    """
    return _reverse_x(_reverse_x(rotations[..., list(SMPL_LEFT_RIGHT), :, :]).mT).mT


def _reverse_x(points: Tensor) -> Tensor:
    return torch.cat([-points[..., :1], points[..., 1:]], dim=-1)
