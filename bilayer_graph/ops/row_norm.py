"""RowNorm: the rows of an adjacency, scaled to a unit sum of absolute values."""

import torch
from torch import Tensor

EPS = 1e-6
"""Added to the sum of absolute values, so that an empty row stays zero."""


def row_norm(weight: Tensor, row: Tensor, num_rows: int, eps: float = EPS) -> Tensor:
    r"""Scale edge weights so that each row's absolute values sum to 1.

    .. math:: a_e = w_e \big/ \big( \textstyle\sum_{e': r(e') = r(e)} |w_{e'}| + \epsilon \big)

    Absolute values, because a signed sum of learnable weights can cross zero.

    Args:
        weight: Edge weights, shape ``[E]``.
        row: Row (target node) of each edge, shape ``[E]``.
        num_rows: Number of rows.
        eps: The constant :math:`\epsilon`.

    Returns:
        Shape ``[E]``.
    """
    total = weight.new_zeros(num_rows).index_add(0, row, weight.abs())
    return weight / (total + eps)[row]


def row_softmax(weight: Tensor, row: Tensor, num_rows: int) -> Tensor:
    r"""Return the softmax of edge weights over each row.

    .. math:: a_e = \exp(w_e) \big/ \textstyle\sum_{e': r(e') = r(e)} \exp(w_{e'})

    Args:
        weight: Edge weights, shape ``[E]``.
        row: Row (target node) of each edge, shape ``[E]``.
        num_rows: Number of rows.

    Returns:
        Shape ``[E]``.
    """
    lowest = weight.new_full((num_rows,), -torch.inf)
    top = lowest.scatter_reduce(0, row, weight.detach(), "amax")
    exponential = (weight - top[row]).exp()
    return exponential / weight.new_zeros(num_rows).index_add(0, row, exponential)[row]
