"""The light that falls on people."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.synthetic.draws import Draws


class Light:
    """Ambient light and two lamps a sample, coloured and from random directions.

    Args:
        draws: Random numbers of B samples.
    """

    def __init__(self, draws: Draws) -> None:
        tint = 1 + 0.05 * draws.normal("light tint", 3, 3).clamp(-2, 2)
        strength = torch.stack(
            [
                draws.uniform("ambient", low=0.25, high=0.55),
                draws.uniform("lamp", low=0.35, high=0.85),
                draws.uniform("second lamp", high=0.3),
            ],
            dim=1,
        )
        self.colours = tint * strength.unsqueeze(-1)
        direction = draws.normal("light from", 2, 3)
        # Camera axes: lamps mostly stand above (-y) and before (-z) the person.
        direction = direction + torch.tensor([0.0, -0.9, -0.9], device=draws.device)
        self.directions = F.normalize(direction, dim=-1)

    def __call__(self, normals: Tensor, sample: Tensor) -> Tensor:
        """Return the light ``[P, 3]`` on points with unit normals ``[P, 3]`` of samples ``[P]``."""
        ambient, first, second = self.colours.index_select(0, sample).unbind(1)
        facing = (normals.unsqueeze(1) * self.directions.index_select(0, sample)).sum(-1)
        # Half-way to a wrapped lamp: real skin and cloth do not go black at the terminator.
        share = (0.3 + 0.7 * facing).clamp_min(0)
        return ambient + share[:, :1] * first + share[:, 1:] * second
