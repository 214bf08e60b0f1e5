"""Reciprocal distances, the prior of every edge that crosses space."""

import torch
from torch import Tensor

MIN_DISTANCE = 0.01
"""Metres below which two points count as this far apart, so that 1/distance stays finite."""


def reciprocal_distance(source: Tensor, target: Tensor, min_distance: float) -> Tensor:
    r"""Return :math:`1 / \max(\lVert p_i - q_j \rVert, d_{min})` for every pair of points.

    Args:
        source: Points :math:`p`, shape ``[N, 3]``.
        target: Points :math:`q`, shape ``[M, 3]``.
        min_distance: Lower bound :math:`d_{min}` of the distance, in the points' unit.

    Returns:
        Weights of shape ``[N, M]``.
    """
    # The direct formula: the matrix-product shortcut loses digits for points that nearly touch.
    distance = torch.cdist(source, target, compute_mode="donot_use_mm_for_euclid_dist")
    return distance.clamp(min=min_distance).reciprocal()
