"""Smooth normals of posed meshes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Normals:
    """Vertex normals: the sum of the area-weighted normals of the faces around a vertex.

    Args:
        faces: ``[F, 3]`` int64, counter-clockwise seen from outside.
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
        """Return normals ``[B, V, 3]`` of vertices ``[B, V, 3]``, outwards, of any length."""
        # Vertex-major, so that one bag sums whole rows.
        moved = vertices.permute(1, 2, 0)
        a, b, c = (moved.index_select(0, self.faces[:, corner]) for corner in range(3))
        (ux, uy, uz), (vx, vy, vz) = (b - a).unbind(1), (c - a).unbind(1)
        cross = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx]
        normal = torch.cat(cross, dim=1)
        total = F.embedding_bag(self._around, normal, self._start, mode="sum")
        return total.view(moved.shape).permute(2, 0, 1)
