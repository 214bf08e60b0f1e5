"""Where a perspective camera stands around a person, and what it sees."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.body import UPRIGHT, axis_angle_to_matrix
from bilayer_graph.synthetic.draws import Draws

_LEAN = math.radians(5)
_LYING_POSTURE_SHARE, _LYING_SHARE = 0.12, 0.05
_TUMBLING_SHARE = 0.07
_PITCH, _HIGH_PITCH, _ROLL = math.radians(8), math.radians(32), math.radians(4)
# Distance of the camera in body sizes, and of the person from the optical axis in distances.
_NEAREST, _FARTHEST = 1.15, 10.0
_ASIDE = (0.14, 0.10)
_WEAK_SHARE = 0.1
CLEARANCE = 0.25
"""No point comes nearer to the camera than this, in metres."""


def sample_orientations(draws: Draws, roots: Tensor, postures: Tensor) -> Tensor:
    """Turn bodies within a y-up world: a slight lean, some lie down, a few tumble.

    Args:
        draws: Random numbers of B samples.
        roots: Rotations of the root joint in a y-up world, ``[B, 3, 3]``.
        postures: Which poses are everyday postures, ``[B]``: more of them lie down.

    Returns:
        Rotations of the root joint in a y-up world, ``[B, 3, 3]``.
    """
    lean = draws.normal("lean", 3) * torch.tensor([_LEAN, 0.0, _LEAN])
    body = axis_angle_to_matrix(lean) @ roots
    unit = draws.uniform("lies or tumbles")
    share = torch.where(postures, _LYING_POSTURE_SHARE, _LYING_SHARE)
    flat = draws.uniform("side", low=-1.0).sign() * (math.pi / 2) + 0.15 * draws.normal("tilt")
    lying = about(0, flat) @ about(1, draws.uniform("spin", low=-math.pi, high=math.pi)) @ body
    body = torch.where((unit < share).view(-1, 1, 1), lying, body)
    tumbling = (unit > 1 - _TUMBLING_SHARE).view(-1, 1, 1)
    return torch.where(tumbling, _random_rotations(draws) @ body, body)


def sample_cameras(draws: Draws) -> Tensor:
    """Return rotations ``[B, 3, 3]`` from a y-up world to cameras that look on from anywhere."""
    pitch = torch.where(
        draws.chance("any pitch", 0.5),
        draws.uniform("high pitch", low=-_HIGH_PITCH, high=_HIGH_PITCH),
        draws.normal("pitch") * _PITCH,
    )
    heading = about(1, draws.uniform("heading", low=-math.pi, high=math.pi))
    return about(2, draws.normal("roll") * _ROLL) @ about(0, pitch) @ UPRIGHT @ heading


class PerspectiveViews(NamedTuple):
    """B cameras, each with its person in front of it.

    Attributes:
        place: Where the origin of the person is, ``[B, 3]``, metres in camera axes.
        depth: Distance that a weak-perspective camera divides by, ``[B]``.
        weak: Which cameras are weak-perspective, ``[B]``.
    """

    place: Tensor
    depth: Tensor
    weak: Tensor

    def project(self, points: Tensor) -> Tensor:
        """Return ``x / z`` and ``y / z`` of points ``[B, N, 3]``."""
        moved = points + self.place.unsqueeze(1)
        depth = moved[..., 2:].clamp_min(CLEARANCE)
        return moved[..., :2] / torch.where(
            self.weak.view(-1, 1, 1), self.depth.view(-1, 1, 1), depth
        )


def sample_views(draws: Draws, joints: Tensor) -> PerspectiveViews:
    """Place people before cameras, from close by to far away.

    Args:
        draws: Random numbers of B samples.
        joints: Their joints in camera axes, ``[B, J, 3]``.
    """
    centre, depth = sample_depths(draws, joints)
    aside = draws.uniform("aside", 2, low=-1.0) * torch.tensor(_ASIDE)
    aside = aside * depth.clamp_max(8).unsqueeze(1)
    place = torch.cat([aside, depth.unsqueeze(1)], dim=1) - centre
    return PerspectiveViews(place, depth, draws.chance("weak perspective", _WEAK_SHARE))


def sample_depths(draws: Draws, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Return the middle ``[B, 3]`` of joints ``[B, J, 3]``, and its depth ``[B]``, in metres."""
    low, high = joints.amin(1), joints.amax(1)
    centre = (low + high) / 2
    size = 1.2 * (high - low)[:, :2].amax(1).clamp_min(0.5)
    depth = size * _NEAREST * (_FARTHEST / _NEAREST) ** draws.uniform("distance")
    return centre, torch.maximum(depth, centre[:, 2] - low[:, 2] + 0.7)


def about(axis: int, angle: Tensor) -> Tensor:
    """Return rotations ``[B, 3, 3]`` about a coordinate axis."""
    vector = torch.zeros(len(angle), 3)
    vector[:, axis] = angle
    return axis_angle_to_matrix(vector)


def _random_rotations(draws: Draws) -> Tensor:
    """Return uniform rotations ``[B, 3, 3]``, from random unit quaternions."""
    w, x, y, z = F.normalize(draws.normal("quaternion", 4), dim=1).unbind(1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, dim=1).view(len(w), 3, 3)
