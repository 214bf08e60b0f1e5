"""The operations as they are defined, in the fewest words: the specification of the fast ones.

Slow, memory-hungry and differentiable by autograd alone. The tests of the operations compare with
these, or with dense products; what knows no operation of ours, such as the ONNX export and
``torch.func``, takes them where it can.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.ops._sparse_matrix import SparseMatrix
from bilayer_graph.ops.library import widen


def spmm(matrix: SparseMatrix, x: Tensor) -> Tensor:
    r"""Multiply edge by edge: :math:`y_i = \sum_{e: r(e) = i} a_e x_{c(e)}`.

    From ``[.., N, C]`` to ``[.., M, C]``, through the message tensor ``[.., E, C]``; sums are kept
    in float32 at least.
    """
    messages = widen(matrix.value.unsqueeze(-1)) * widen(x.index_select(-2, matrix.col))
    out = messages.new_zeros(*x.shape[:-2], matrix.shape[0], x.size(-1))
    return out.index_add(-2, matrix.row.long(), messages).to(x.dtype)


def sddmm(matrix: SparseMatrix, left: Tensor, right: Tensor) -> Tensor:
    r"""Multiply entry by entry: :math:`d_e = \sum_b \langle L_{b, r(e)}, R_{b, c(e)} \rangle`.

    From ``[.., M, C]`` and ``[.., N, C]`` to ``[E]``, through the message tensor ``[.., E, C]``.
    """
    products = left.index_select(-2, matrix.row) * right.index_select(-2, matrix.col)
    return products.sum(dim=-1).flatten(end_dim=-2).sum(dim=0)


def row_norm(weight: Tensor, rowptr: Tensor) -> Tensor:
    """Divide each edge weight by its row's sum of absolute values; ``[E]`` to ``[E]``.

    A row of zeros stays zero.
    """
    rows = weight.split(rowptr.diff().tolist())
    return torch.cat([row / row.abs().sum() if row.any() else row for row in rows])


def row_softmax(weight: Tensor, rowptr: Tensor) -> Tensor:
    """Take the softmax of the edge weights of each row; ``[E]`` to ``[E]``."""
    return torch.cat([row.softmax(dim=0) for row in weight.split(rowptr.diff().tolist())])


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float, relu: bool = False
) -> Tensor:
    """Apply torch's group norm with channels first; ``[B, N, C]`` to ``[B, N, C]``."""
    out = torch.group_norm(x.transpose(1, 2), num_groups, weight, bias, eps).transpose(1, 2)
    return out.relu() if relu else out


def segment_group_norm(
    x: Tensor, batch: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    """Apply torch's group norm graph by graph; ``[N, C]`` to ``[N, C]``."""
    out = torch.zeros_like(x)
    for graph in batch.unique():
        nodes = (batch == graph).nonzero().flatten()
        part = group_norm(x[nodes].unsqueeze(0), num_groups, weight, bias, eps)
        out = out.index_put((nodes,), part.squeeze(0))
    return out


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply torch's linear layer; ``[.., C_in]`` to ``[.., C_out]``."""
    return F.linear(x, weight, bias)


def fusion_product(adjacency: Tensor, x: Tensor) -> Tensor:
    r"""Multiply pair by pair: :math:`y_i = \sum_j a_{ij} x_j`.

    From ``[.., N, C]`` to ``[.., M, C]``, through the message tensor ``[.., M, N, C]``.
    """
    return (adjacency.to(x.dtype).unsqueeze(-1) * x.unsqueeze(-3)).sum(dim=-2)
