"""The fusion graph: joints linked with the vertices they can move, the closer the stronger."""

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.batch import check_batch, check_same_graphs, pairs_by_graph
from bilayer_graph.graphs.check import check_positive
from bilayer_graph.graphs.distance import MIN_DISTANCE, reciprocal_distance
from bilayer_graph.graphs.edges import edges_by_target
from bilayer_graph.graphs.neighbors import check_reach, neighbor_pairs
from bilayer_graph.graphs.shape import Shape, read_points


def fusion_graph(
    joints: Shape,
    vertices: Shape,
    k: int | None = None,
    radius: float | None = None,
    batch_joints: Tensor | None = None,
    batch_vertices: Tensor | None = None,
    *,
    min_distance: float = MIN_DISTANCE,
) -> tuple[EdgeIndex, Tensor]:
    r"""Build the prior :math:`A_{fs}` of the bipartite fusion graph, from joints to vertices.

    .. math:: (A_{fs})_{vj} = 1 / \max(\lVert x_v - x_j \rVert, d_{min})

    Joints stand for the nodes of any coarse graph and vertices for those of any fine one.

    Args:
        joints: Coarse nodes: template joints in metres, shape ``[N_s, D]``, or an object that has
            them.
        vertices: Fine nodes: template vertices in metres, shape ``[N_m, D]``, or an object that has
            them.
        k: Link each vertex with its ``k`` nearest joints only.
        radius: Link each vertex with the joints at this distance or nearer only. Without ``k`` and
            ``radius``, all are linked (the paper's).
        batch_joints: The graph of each joint, shape ``[N_s]``, as in PyG's ``knn``: nodes of
            different graphs are not linked, and a graph of ``k`` joints or fewer is linked whole.
        batch_vertices: The graph of each vertex, shape ``[N_m]``, given with ``batch_joints``.
        min_distance: Lower bound of a distance, in the points' unit.

    Returns:
        ``edge_index``, an ``EdgeIndex`` of shape ``[2, E]`` (joint, vertex) sorted by vertex and
        then by joint, and ``edge_weight`` of shape ``[E]``, in one over the points' unit. Of one
        object :math:`E` is :math:`N_s N_m`, with ``k`` :math:`k N_m`, with ``radius`` what is near.

    Raises:
        InputError: If the points are not finite or not in one space, ``k`` is out of range,
            ``radius`` leaves a vertex without a joint, the edges would not fit, or the batches do
            not fit.
    """
    coarse = read_points("joints", joints, dim=None)
    fine = read_points("vertices", vertices, dim=None)
    if coarse.size(1) != fine.size(1):
        problem = f"the joints have {coarse.size(1)} coordinates"
        raise InputError("vertices", list(fine.shape), problem, "Give both in one space")
    batch = _read_batch(batch_joints, batch_vertices, coarse.size(0), fine.size(0))
    return link_levels(coarse, fine, k, radius, min_distance, ("joints", "vertices"), batch)


def _read_batch(
    joints: Tensor | None, vertices: Tensor | None, num_joints: int, num_vertices: int
) -> tuple[Tensor, Tensor] | None:
    if joints is None and vertices is None:
        return None
    names = "batch_joints", "batch_vertices"
    for name, other, batch in ((*names, joints), (*names[::-1], vertices)):
        if batch is None:
            raise InputError(name, None, f"{other} is given", "Give both or none")
    assert joints is not None
    assert vertices is not None
    check_batch(names[0], joints, num_joints)
    check_batch(names[1], vertices, num_vertices)
    check_same_graphs(names, joints, vertices)
    return joints, vertices


def link_levels(
    coarse: Tensor,
    fine: Tensor,
    k: int | None,
    radius: float | None,
    min_distance: float,
    names: tuple[str, str],
    batch: tuple[Tensor, Tensor] | None = None,
) -> tuple[EdgeIndex, Tensor]:
    """Build :func:`fusion_graph` of checked points, which errors call by these names."""
    check_positive("min_distance", min_distance)

    def link(coarse: Tensor, fine: Tensor, k: int | None) -> Tensor:
        check_reach(k, radius, (coarse.size(0), fine.size(0)), names[0])
        return neighbor_pairs(coarse, fine, k, radius)

    if batch is None:
        edge_index = link(coarse, fine, k)
    else:
        edge_index = pairs_by_graph(
            lambda some, others: link(some, others, _at_most(k, len(some))), coarse, fine, batch
        )
    if radius is not None:
        _check_cover(edge_index[1], coarse, fine, radius, names)
    weight = reciprocal_distance(coarse, fine, edge_index, min_distance)
    return edges_by_target(edge_index, coarse.size(0), fine.size(0)), weight


def _at_most(k: int | None, number: int) -> int | None:
    """Return how many of a graph's coarse nodes to link."""
    return None if k is None else min(k, number)


def _check_cover(
    linked: Tensor, coarse: Tensor, fine: Tensor, radius: float, names: tuple[str, str]
) -> None:
    """Raise :class:`InputError` unless every fine node is linked."""
    alone = fine.size(0) - linked.unique().numel()
    if alone:
        source, target = neighbor_pairs(coarse, fine, 1, None)
        gap = torch.linalg.vector_norm(coarse[source] - fine[target], dim=1).max()
        problem = f"{alone} of {fine.size(0)} {names[1]} have none of the {names[0]} within it"
        raise InputError("radius", radius, problem, f"Give a radius above {gap:.4g}, or k")
