"""Poses of any body: each joint turns by itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bilayer_graph.body import UPRIGHT, axis_angle_to_matrix
from bilayer_graph.synthetic.draws import Draws

_LIMIT = 2.0  # standard deviations
_LOWEST, _HIGHEST = -0.1, 0.4  # pitch of the camera, radians


class TurnedJoints:
    """Normal turns about a mean, on a body that stands upright with any heading.

    Knows neither ranges of motion nor what the limbs run into: enough for small turns.

    Args:
        mean: Axis-angle of each skinning joint, ``[K, 3]``, radians; the root's is left out.
        spread: Standard deviations, ``[K, 3]``.
    """

    def __init__(self, mean: Tensor, spread: Tensor) -> None:
        self.mean, self.spread = mean, spread

    def __call__(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return rotations ``[B, K - 1, 3, 3]``, and from body to camera axes ``[B, 3, 3]``."""
        turn = draws.normal("pose", *self.mean.shape).clamp(-_LIMIT, _LIMIT)
        pose = axis_angle_to_matrix((self.mean + self.spread * turn)[:, 1:])
        heading = draws.uniform("heading", low=-math.pi, high=math.pi)
        pitch = draws.uniform("pitch", low=_LOWEST, high=_HIGHEST)
        flat = torch.zeros_like(heading)
        around = axis_angle_to_matrix(torch.stack([flat, heading, flat], dim=-1))
        above = axis_angle_to_matrix(torch.stack([pitch, flat, flat], dim=-1))
        return pose, above @ UPRIGHT.to(draws.device) @ around
