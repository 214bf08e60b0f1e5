"""The graph of a point set: points linked with near ones, the closer the stronger."""

import torch
from torch import Tensor

from bilayer_graph.graphs.check import check_positive
from bilayer_graph.graphs.distance import MIN_DISTANCE, reciprocal_distance
from bilayer_graph.graphs.neighbors import check_reach, neighbor_pairs
from bilayer_graph.graphs.shape import Shape, read_points


def point_graph(
    points: Shape,
    k: int | None = None,
    radius: float | None = None,
    *,
    min_distance: float = MIN_DISTANCE,
) -> tuple[Tensor, Tensor]:
    r"""Build a row-normalised graph of points that falls off with distance, with self loops.

    .. math:: A = \mathrm{RowNorm}(a), \qquad a_{ij} = 1 / \max(d_{ij}, d_{min}) \;(i \ne j),
        \qquad a_{ii} = \max_{j \ne i} a_{ij}

    Args:
        points: Coordinates, shape ``[N, D]``, or an object that has them.
        k: Link each point with its ``k`` nearest others only.
        radius: Link each point with the others at this distance or nearer only. Without ``k`` and
            ``radius``, all points are linked.
        min_distance: Lower bound :math:`d_{min}` of a distance, in the points' unit.

    Returns:
        ``edge_index`` of shape ``[2, E]``, sorted by target and then by source, and ``edge_weight``
        of shape ``[E]``; the weights of the edges that enter one point sum to 1. A point without
        neighbours keeps its self loop.

    Raises:
        InputError: If the points are not finite, or ``k`` or ``radius`` is out of range.
    """
    pos = read_points("points", points, dim=None)
    return link_points(pos, k, radius, min_distance, "other points")


def link_points(
    pos: Tensor,
    k: int | None,
    radius: float | None,
    min_distance: float,
    others: str,
    prefix: str = "",
) -> tuple[Tensor, Tensor]:
    """Build :func:`point_graph` of checked points; errors name the points and the arguments so."""
    number = pos.size(0)
    check_reach(k, radius, (number - 1, number), others, prefix)
    check_positive("min_distance", min_distance)
    edge_index = neighbor_pairs(pos, pos, None if k is None else k + 1, radius)
    if k is not None:
        edge_index[0] = _with_self(edge_index[0].view(number, k + 1)).flatten()
    source, target = edge_index
    loop = source == target
    degree = torch.bincount(target, minlength=number)
    weight = reciprocal_distance(pos[source], pos[target], min_distance).masked_fill(loop, 0)
    strongest = torch.segment_reduce(weight, "max", lengths=degree)
    # A point that is alone keeps its loop, of any weight.
    strongest = strongest.where(degree > 1, 1)
    weight = weight.where(~loop, strongest[target])
    return edge_index, weight / torch.segment_reduce(weight, "sum", lengths=degree)[target]


def _with_self(near: Tensor) -> Tensor:
    """Put each point among its own neighbours: points at one place may have crowded it out."""
    own = torch.arange(near.size(0), device=near.device).unsqueeze(1)
    missing = (near != own).all(dim=1)
    near[missing, -1] = own[missing, 0]
    return near.sort(dim=1).values
