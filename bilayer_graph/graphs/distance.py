"""Reciprocal distances, the prior of every edge that crosses space."""

import torch
from torch import Tensor

MIN_DISTANCE = 0.01
"""Metres below which two points count as this far apart, so that 1/distance stays finite."""


# Coordinates of edges in memory at a time.
_CHUNK = 2**24


def reciprocal_distance(
    source: Tensor, target: Tensor, edge_index: Tensor, min_distance: float
) -> Tensor:
    r"""Return :math:`1 / \max(\lVert p_i - q_j \rVert, d_{min})` for the edges of two point sets.

    Args:
        source: Points :math:`p`, shape ``[N, D]``.
        target: Points :math:`q`, shape ``[M, D]``.
        edge_index: Edges :math:`(i, j)`, shape ``[2, E]``.
        min_distance: Lower bound :math:`d_{min}` of the distance, in the points' unit.

    Returns:
        Weights of shape ``[E]``, in one over the points' unit.
    """
    distance = [
        torch.linalg.vector_norm(target[j] - source[i], dim=1)
        for i, j in edge_index.split(max(1, _CHUNK // source.size(1)), dim=1)
    ]
    return torch.cat(distance).clamp(min=min_distance).reciprocal()
