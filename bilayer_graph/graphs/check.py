"""Checks that every graph constructor makes of its points and faces."""

import torch
from torch import Tensor

from bilayer_graph.errors import InputError


def check_points(name: str, points: Tensor) -> None:
    """Raise :class:`InputError` unless ``points`` is a finite, non-empty ``[N, 3]`` tensor."""
    if points.dim() != 2 or points.size(1) != 3 or points.size(0) == 0:
        raise InputError(
            name, list(points.shape), "not a list of points", "Give coordinates of shape [N, 3]"
        )
    if not torch.isfinite(points).all():
        row = int((~torch.isfinite(points)).any(dim=1).nonzero()[0])
        raise InputError(
            name, f"{points[row].tolist()} in row {row}", "not finite", "Remove or repair the point"
        )


def check_faces(faces: Tensor, num_vertices: int) -> None:
    """Raise :class:`InputError` unless ``faces`` is ``[F, 3]`` and indexes ``num_vertices``."""
    if faces.dim() != 2 or faces.size(1) != 3 or faces.size(0) == 0:
        raise InputError(
            "faces", list(faces.shape), "not a list of triangles", "Give indices of shape [F, 3]"
        )
    low, high = int(faces.min()), int(faces.max())
    if low < 0 or high >= num_vertices:
        raise InputError(
            "faces",
            f"indices {low}..{high}",
            f"a mesh of {num_vertices} vertices has indices 0..{num_vertices - 1}",
            "Give the faces of this mesh, counted from 0",
        )
