"""Smooth normals of posed meshes, and the light that falls on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.data.draws import Draws


class Normals:
    """Vertex normals: the sum of the area-weighted normals of the faces around a vertex.

    Args:
        faces: [F, 3] int64, counter-clockwise seen from outside.
        vertices: Number of vertices.
    """

    def __init__(self, faces: Tensor, vertices: int) -> None:
        corner = faces.flatten()
        order = corner.argsort(stable=True)
        count = torch.bincount(corner, minlength=vertices)
        self.faces = faces
        self._around = order // 3
        self._start = count.cumsum(0) - count

    def __call__(self, vertices: Tensor) -> Tensor:
        """[B, V, 3] vertices to [B, V, 3] normals that point outwards, not of unit length."""
        # Vertex-major, so that one bag sums whole rows.
        moved = vertices.permute(1, 2, 0)
        a, b, c = (moved.index_select(0, self.faces[:, corner]) for corner in range(3))
        (ux, uy, uz), (vx, vy, vz) = (b - a).unbind(1), (c - a).unbind(1)
        cross = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx]
        normal = torch.cat(cross, dim=1)
        total = F.embedding_bag(self._around, normal, self._start, mode="sum")
        return total.view(moved.shape).permute(2, 0, 1)


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
        """Light [P, 3] on surface points with unit normals [P, 3] of the given samples [P]."""
        ambient, first, second = self.colours.index_select(0, sample).unbind(1)
        facing = (normals.unsqueeze(1) * self.directions.index_select(0, sample)).sum(-1)
        # Half-way to a wrapped lamp: real skin and cloth do not go black at the terminator.
        share = (0.3 + 0.7 * facing).clamp_min(0)
        return ambient + share[:, :1] * first + share[:, 1:] * second
