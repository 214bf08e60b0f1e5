"""The operations as they are defined, in the fewest words: the specification of the fast ones.

Slow, memory-hungry and differentiable by autograd alone. Every test of an operation compares with
these; nothing else calls them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.ops.row_norm import EPS
from bilayer_graph.ops.sparse_matrix import SparseMatrix


def spmm(matrix: SparseMatrix, x: Tensor) -> Tensor:
    r"""Multiply edge by edge: :math:`y_i = \sum_{e: r(e) = i} a_e x_{c(e)}`.

    From ``[.., N, C]`` to ``[.., M, C]``, through the message tensor ``[.., E, C]``.
    """
    messages = matrix.value.to(x.dtype).unsqueeze(-1) * x.index_select(-2, matrix.col)
    out = x.new_zeros(*x.shape[:-2], matrix.size[0], x.size(-1))
    return out.index_add(-2, matrix.row, messages)


def row_norm(weight: Tensor, row: Tensor, num_rows: int, eps: float = EPS) -> Tensor:
    """Divide each edge weight by its row's sum of absolute values; ``[E]`` to ``[E]``."""
    same_row = row.unsqueeze(1) == row.unsqueeze(0)
    return weight / ((same_row * weight.abs()).sum(dim=1) + eps)


def row_softmax(weight: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """Take the softmax of the edge weights of each row; ``[E]`` to ``[E]``."""
    same_row = row.unsqueeze(1) == row.unsqueeze(0)
    logits = torch.where(same_row, weight.unsqueeze(0), -torch.inf)
    return logits.softmax(dim=1).diagonal()


def group_norm(x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Apply torch's group norm with channels first; ``[B, N, C]`` to ``[B, N, C]``."""
    return F.group_norm(x.transpose(1, 2), num_groups, weight, bias, eps).transpose(1, 2)
