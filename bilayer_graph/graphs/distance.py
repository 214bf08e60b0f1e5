"""Reciprocal distances, the prior of every edge that crosses space."""

import torch
from torch import Tensor

MIN_DISTANCE = 0.01
"""Metres below which two points count as this far apart, so that 1/distance stays finite."""


def reciprocal_distance(source: Tensor, target: Tensor, min_distance: float) -> Tensor:
    r"""Return :math:`1 / \max(\lVert p_e - q_e \rVert, d_{min})` for pairs of points.

    Args:
        source: Points :math:`p`, shape ``[E, D]``.
        target: Points :math:`q`, shape ``[E, D]``.
        min_distance: Lower bound :math:`d_{min}` of the distance, in the points' unit.

    Returns:
        Weights of shape ``[E]``.
    """
    distance = torch.linalg.vector_norm(target - source, dim=1)
    return distance.clamp(min=min_distance).reciprocal()
