"""Checks that every graph constructor makes of its points, faces and edges."""

import math

import torch
from torch import Tensor

from bilayer_graph.errors import InputError

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_points(name: str, points: Tensor, dim: int | None = 3) -> None:
    """Raise :class:`InputError` unless ``points`` is a finite, non-empty ``[N, dim]`` tensor.

    Args:
        name: What the error calls the points.
        points: The coordinates.
        dim: Number of coordinates of a point; ``None`` for any.
    """
    if points.dim() != 2 or dim not in (None, points.size(1)) or points.numel() == 0:
        remedy = f"Give coordinates of shape [N, {dim or 'D'}]"
        raise InputError(name, list(points.shape), "not a list of points", remedy)
    if not points.is_floating_point():
        remedy = "Give float32 or float64 coordinates"
        raise InputError(name, points.dtype, "not coordinates", remedy)
    if not torch.isfinite(points).all():
        row = int((~torch.isfinite(points)).any(dim=1).nonzero()[0])
        raise InputError(
            name, f"{points[row].tolist()} in row {row}", "not finite", "Remove or repair the point"
        )


def check_faces(faces: Tensor, num_vertices: int, name: str = "faces") -> None:
    """Raise :class:`InputError` unless ``faces`` is ``[F, 3]`` and indexes ``num_vertices``."""
    if faces.dim() != 2 or faces.size(1) != 3 or faces.size(0) == 0:
        raise InputError(
            name, list(faces.shape), "not a list of triangles", "Give indices of shape [F, 3]"
        )
    check_indices(name, faces)
    low, high = int(faces.min()), int(faces.max())
    if low < 0 or high >= num_vertices:
        raise InputError(
            name,
            f"indices {low}..{high}",
            f"a mesh of {num_vertices} vertices has indices 0..{num_vertices - 1}",
            "Give the faces of this mesh, counted from 0",
        )


def check_edges(name: str, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> None:
    """Raise :class:`InputError` unless the edges are ``[2, E]`` between ``num_nodes`` nodes."""
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise InputError(
            name, list(edge_index.shape), "not a list of edges", "Give indices of shape [2, E]"
        )
    check_indices(name, edge_index)
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        raise InputError(
            name,
            f"indices {int(edge_index.min())}..{int(edge_index.max())}",
            f"a graph of {num_nodes} nodes has indices 0..{num_nodes - 1}",
            "Give the edges of this graph, counted from 0",
        )
    if edge_weight is not None:
        _check_weights(f"{name.removesuffix('index')}weight", edge_weight, edge_index.size(1))


def check_positive(name: str, value: float) -> None:
    """Raise :class:`InputError` unless a distance is positive and finite."""
    if not 0 < value < math.inf:
        raise InputError(name, value, "not a distance", "Give a positive number")


def check_indices(name: str, indices: Tensor) -> None:
    """Raise :class:`InputError` unless a tensor is of an integer dtype."""
    if indices.dtype not in _INTEGERS:
        raise InputError(name, indices.dtype, "not indices", "Give int64")


def _check_weights(name: str, weight: Tensor, num_edges: int) -> None:
    if weight.shape != (num_edges,):
        problem = f"there are {num_edges} edges"
        raise InputError(name, list(weight.shape), problem, "Give one weight for each, shape [E]")
    if not torch.isfinite(weight).all():
        row = int((~torch.isfinite(weight)).nonzero()[0])
        problem = "not finite"
        raise InputError(
            name, f"{weight[row]:g} in row {row}", problem, "Remove or repair the edge"
        )
