"""The graph of a point set: points linked with near ones, the closer the stronger."""

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from bilayer_graph.graphs.batch import check_batch, pairs_by_graph
from bilayer_graph.graphs.check import check_positive
from bilayer_graph.graphs.distance import MIN_DISTANCE, reciprocal_distance
from bilayer_graph.graphs.edges import edges_by_target
from bilayer_graph.graphs.neighbors import check_reach, neighbor_pairs
from bilayer_graph.graphs.shape import Shape, read_points


def point_graph(
    points: Shape,
    k: int | None = None,
    radius: float | None = None,
    batch: Tensor | None = None,
    *,
    min_distance: float = MIN_DISTANCE,
) -> tuple[EdgeIndex, Tensor]:
    r"""Build a row-normalised graph of points that falls off with distance, with self loops.

    .. math:: A = \mathrm{RowNorm}(a), \qquad a_{ij} = 1 / \max(d_{ij}, d_{min}) \;(i \ne j),
        \qquad a_{ii} = \max_{j \ne i} a_{ij}

    Args:
        points: Coordinates, shape ``[N, D]``, or an object that has them.
        k: Link each point with its ``k`` nearest others only.
        radius: Link each point with the others at this distance or nearer only. Without ``k`` and
            ``radius``, all points are linked.
        batch: The graph of each point, shape ``[N]``: points of different graphs are not linked.
            A graph of ``k`` points or fewer is linked whole.
        min_distance: Lower bound :math:`d_{min}` of a distance, in the points' unit.

    Returns:
        ``edge_index``, an ``EdgeIndex`` of shape ``[2, E]`` sorted by target and then by source,
        and ``edge_weight`` of shape ``[E]``; the weights of the edges that enter one point sum
        to 1. A point without neighbours keeps its self loop.

    Raises:
        InputError: If the points are not finite, ``k`` or ``radius`` is out of range, the edges
            would not fit, or ``batch`` does not name the graph of each point.
    """
    pos = read_points("points", points, dim=None)
    return link_points(pos, k, radius, min_distance, "other points", batch=batch)


def link_points(
    pos: Tensor,
    k: int | None,
    radius: float | None,
    min_distance: float,
    others: str,
    prefix: str = "",
    batch: Tensor | None = None,
) -> tuple[EdgeIndex, Tensor]:
    """Build :func:`point_graph` of checked points; errors name the points and the arguments so."""
    number = pos.size(0)
    check_positive("min_distance", min_distance)
    if batch is None:
        edge_index = _near_pairs(pos, k, radius, others, prefix)
    else:
        check_batch("batch", batch, number)
        edge_index = pairs_by_graph(
            lambda part, _: _near_pairs(part, _at_most(k, len(part) - 1), radius, others, prefix),
            pos,
            pos,
            (batch, batch),
        )
    weight = _weigh(edge_index, pos, min_distance)
    return edges_by_target(edge_index, number, number), weight


def _near_pairs(
    pos: Tensor, k: int | None, radius: float | None, others: str, prefix: str
) -> Tensor:
    """Link each point with itself and with near ones."""
    number = pos.size(0)
    check_reach(k, radius, (number - 1, number), others, prefix)
    edge_index = neighbor_pairs(pos, pos, None if k is None else k + 1, radius, prefix)
    if k is not None:
        edge_index[0] = _with_self(edge_index[0].view(number, k + 1)).flatten()
    return edge_index


def _at_most(k: int | None, number: int) -> int | None:
    """Return how many of a graph's other points to link, ``None`` for all."""
    return None if k is None or k >= number else k


def _weigh(edge_index: Tensor, pos: Tensor, min_distance: float) -> Tensor:
    """Weigh each edge 1 / distance, a self loop as its strongest neighbour, and scale the rows."""
    source, target = edge_index
    loop = source == target
    degree = torch.bincount(target, minlength=pos.size(0))
    weight = reciprocal_distance(pos, pos, edge_index, min_distance).masked_fill(loop, 0)
    strongest = torch.segment_reduce(weight, "max", lengths=degree)
    # A point that is alone keeps its loop, of any weight.
    strongest = strongest.where(degree > 1, 1)
    weight = weight.where(~loop, strongest[target])
    return weight / torch.segment_reduce(weight, "sum", lengths=degree)[target]


def _with_self(near: Tensor) -> Tensor:
    """Put each point among its own neighbours: points at one place may have crowded it out."""
    own = torch.arange(near.size(0), device=near.device).unsqueeze(1)
    missing = (near != own).all(dim=1)
    near[missing, -1] = own[missing, 0]
    return near.sort(dim=1).values
