"""Graphs of one object at any number of scales in one PyG ``HeteroData``."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.bilayer import add_fusion
from bilayer_graph.graphs.check import check_finite_weights
from bilayer_graph.graphs.distance import MIN_DISTANCE
from bilayer_graph.graphs.fusion import link_levels
from bilayer_graph.graphs.mesh import link_edges, link_faces, warn_of_seams
from bilayer_graph.graphs.points import link_points
from bilayer_graph.graphs.shape import Parts, Shape, read_shape


def multilevel_graph(
    levels: Sequence[Shape] | Mapping[str, Shape],
    k: int | Sequence[int | None] | None = None,
    radius: float | Sequence[float | None] | None = None,
    *,
    level_k: int | Sequence[int | None] | None = None,
    level_radius: float | Sequence[float | None] | None = None,
    min_distance: float = MIN_DISTANCE,
) -> HeteroData:
    """Couple graphs of one object at several scales, each with the next coarser one.

    Inside a level, a mesh is linked by :func:`~bilayer_graph.graphs.mesh_graph` and points by
    :func:`~bilayer_graph.graphs.point_graph`. A ``Data`` with ``edge_index`` keeps its edges and
    ``edge_weight``; without weights, they are completed like those of a mesh: self loops, and
    rows that sum to 1. :func:`~bilayer_graph.graphs.fusion_graph` links neighbouring levels.

    Args:
        levels: From fine to coarse: points ``[N, D]``, ``trimesh.Trimesh``,
            :class:`~bilayer_graph.graphs.MeshLevel`, ``(vertices, faces)``, or PyG ``Data`` with
            ``pos`` and, if it has them, ``face`` or ``edge_index``. A dict names the node types;
            those of a list are ``level0``, ``level1`` and so on.
        k: Link each node with its ``k`` nearest nodes of the next coarser level only; one number
            for all, or a list with one for each pair of neighbouring levels.
        radius: Link each node with the nodes of the next coarser level at this distance or nearer
            only; one or a list, as ``k``. Without ``k`` and ``radius``, all are linked.
        level_k: In levels of bare points, link each with its ``k`` nearest others only; one number
            for all, or a list with one for each level.
        level_radius: In levels of bare points, link each with the others at this distance or nearer
            only; one or a list, as ``level_k``. Without both, all are linked.
        min_distance: Lower bound of a distance, in the points' unit.

    Returns:
        For each level its node type with ``pos`` and the edge type ``(level, edge, level)``, for
        each pair ``(coarse, drives, fine)`` and ``(fine, informs, coarse)``, all with
        ``edge_index``, an ``EdgeIndex`` of known size, and ``edge_weight``. ``informs`` is
        ``drives`` reversed, edge by edge.

    Raises:
        InputError: If a level cannot be read, has more nodes than the one before it or lies in
            another space, if an option is out of range, or if ``radius`` leaves a node alone.
    """
    read = _read_levels(levels)
    inside = _pair("level_k", level_k, "level_radius", level_radius, len(read), "levels")
    across = _pair("k", k, "radius", radius, len(read) - 1, "pairs of neighbouring levels")
    data = HeteroData()
    for level, reach in zip(read, inside, strict=True):
        data[level.name].pos = level.parts.pos
        edges = data[level.name, "edge", level.name]
        edges.edge_index, edges.edge_weight = _link_inside(level, *reach, min_distance)
    for (fine, coarse), reach in zip(pairwise(read), across, strict=True):
        names = f"nodes of {coarse.label}", f"nodes of {fine.label}"
        links = link_levels(coarse.parts.pos, fine.parts.pos, *reach, min_distance, names)
        add_fusion(data, coarse.name, fine.name, links)
    return data


class _Level(NamedTuple):
    name: str
    label: str
    parts: Parts


def _read_levels(levels: Sequence[Shape] | Mapping[str, Shape]) -> list[_Level]:
    """Read and check the levels; ``name`` is the node type, ``label`` what errors call it."""
    if not isinstance(levels, (list, tuple, Mapping)):
        remedy = "Give a list or a dict, from fine to coarse"
        raise InputError("levels", type(levels).__name__, "not several levels", remedy)
    if not levels:
        raise InputError("levels", levels, "no level", "Give one at least")
    named = isinstance(levels, Mapping)
    read: list[_Level] = []
    for key, shape in levels.items() if isinstance(levels, Mapping) else enumerate(levels):
        label = f"levels[{key!r}]"
        level = _Level(str(key) if named else f"level{key}", label, read_shape(label, shape))
        if read:
            _check_coarser(level, read[-1])
        read.append(level)
    return read


def _check_coarser(coarse: _Level, fine: _Level) -> None:
    """Raise :class:`InputError` unless the levels are in order and in one space."""
    shape, finer = list(coarse.parts.pos.shape), list(fine.parts.pos.shape)
    if shape[1] != finer[1]:
        problem = f"the points of {fine.label} have {finer[1]} coordinates"
        raise InputError(coarse.label, shape, problem, "Give all levels in one space")
    if shape[0] > finer[0]:
        problem = f"more nodes than the {finer[0]} of {fine.label}"
        raise InputError(coarse.label, f"{shape[0]} nodes", problem, "Order from fine to coarse")


def _pair(
    k_name: str, k: object, radius_name: str, radius: object, number: int, what: str
) -> list[tuple[Any, Any]]:
    """Give each level, or pair of levels, its ``k`` and its ``radius``."""
    columns = []
    for name, value in ((k_name, k), (radius_name, radius)):
        if not isinstance(value, (list, tuple)):
            value = [value] * number
        if len(value) != number:
            remedy = f"Give one value for all, or {number}"
            raise InputError(name, value, f"there are {number} {what}", remedy)
        columns.append(value)
    return list(zip(*columns, strict=True))


def _link_inside(
    level: _Level, k: int | None, radius: float | None, min_distance: float
) -> tuple[EdgeIndex, Tensor]:
    """Build the graph inside a level."""
    pos, faces, edge_index, edge_weight = level.parts
    if isinstance(edge_index, EdgeIndex):
        edge_index = edge_index.as_tensor()
    if edge_index is not None and edge_weight is not None:
        check_finite_weights(f"{level.label}.edge_weight", edge_weight)
        size = pos.size(0), pos.size(0)
        return EdgeIndex(edge_index.long(), sparse_size=size), edge_weight
    if edge_index is not None:
        return link_edges(edge_index.long(), pos.size(0), pos.dtype)
    if faces is not None:
        warn_of_seams(level.label, pos, faces)
        return link_faces(faces, pos.size(0), pos.dtype)
    others = f"other nodes in {level.label}"
    return link_points(pos, k, radius, min_distance, others, prefix="level_")
