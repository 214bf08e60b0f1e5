"""Checks that every graph constructor makes of its points, faces and edges."""

import math

import torch
from torch import Tensor
from torch.autograd import forward_ad

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


def check_edges(
    name: str, edge_index: Tensor, edge_weight: Tensor | None, size: int | tuple[int, int]
) -> None:
    """Raise :class:`InputError` unless edges are ``[2, E]``, inside the graph and fit the weights.

    Whether they are inside is not checked where the edges cannot be read, see :func:`readable`.

    Args:
        name: What the error calls the edges, ending in ``edge_index``.
        edge_index: Source and target of each edge.
        edge_weight: Weight of each edge, or ``None``.
        size: Number of source and of target nodes; one number where they are the same.
    """
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        remedy = "Give sources and targets as one tensor of shape [2, E]"
        raise InputError(name, list(edge_index.shape), "not a list of edges", remedy)
    check_indices(name, edge_index)
    if edge_weight is not None:
        weight_name = f"{name.removesuffix('index')}weight"
        check_weights(weight_name, edge_weight, edge_index.size(1))
    if edge_index.size(1) and readable(edge_index):
        _check_inside(name, edge_index, size if isinstance(size, tuple) else (size, size))


def _check_inside(name: str, edge_index: Tensor, size: tuple[int, int]) -> None:
    lowest, highest = (bound.tolist() for bound in edge_index.aminmax(dim=1))

    def inside(end: int, number: int) -> bool:
        return bool(lowest[end] >= 0 and highest[end] < number)

    for end, side in enumerate(("source", "target")):
        if not inside(end, size[end]):
            remedy = "Give edges between nodes of the graph, counted from 0, as (source, target)"
            if inside(0, size[1]) and inside(1, size[0]):
                remedy += "; these would fit swapped: edge_index.flip(0)"
            nodes = f"{side} nodes {lowest[end]}..{highest[end]}"
            problem = f"the graph has {size[end]} {side} nodes"
            raise InputError(name, nodes, problem, remedy)


def readable(tensor: Tensor) -> bool:
    """Return whether a check may look at values: not while a graph is compiled or captured."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or transformed():
        return False
    return not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def check_positive(name: str, value: float) -> None:
    """Raise :class:`InputError` unless a distance is positive and finite."""
    if not 0 < value < math.inf:
        raise InputError(name, value, "not a distance", "Give a positive number")


def check_indices(name: str, indices: Tensor) -> None:
    """Raise :class:`InputError` unless a tensor is of an integer dtype."""
    if indices.dtype not in _INTEGERS:
        raise InputError(name, indices.dtype, "not indices", "Give int64 or another integer dtype")


def transformed() -> bool:
    """Return whether ``torch.func`` or a forward-mode derivative is at work."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def check_weights(name: str, weight: Tensor, num_edges: int) -> None:
    """Raise :class:`InputError` unless there is one weight for each of a number of edges."""
    if weight.shape != (num_edges,):
        problem = f"there are {num_edges} edges"
        raise InputError(name, list(weight.shape), problem, "Give one weight an edge, of shape [E]")


def check_finite_weights(name: str, weight: Tensor) -> None:
    """Raise :class:`InputError` unless all weights of edges are finite."""
    if not torch.isfinite(weight).all():
        row = int((~torch.isfinite(weight)).nonzero()[0])
        problem = "not finite"
        raise InputError(
            name, f"{weight[row]:g} in row {row}", problem, "Remove or repair the edge"
        )
