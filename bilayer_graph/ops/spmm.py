"""One sparse matrix times a batch of dense ones."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops.sparse_matrix import SparseMatrix


def spmm(matrix: SparseMatrix, x: Tensor) -> Tensor:
    r"""Multiply one sparse matrix with every item of a batch: :math:`Y_b = A X_b`.

    Differentiable in ``x`` and in ``matrix.value``. The backward pass multiplies with the
    transposed matrix row by row, so that it needs no atomic additions and is deterministic.

    Args:
        matrix: :math:`A`, of size ``[M, N]``.
        x: Features, shape ``[N, C]`` or ``[B, N, C]``.

    Returns:
        Shape ``[M, C]`` or ``[B, M, C]``, in the dtype of ``x``.

    Raises:
        InputError: If ``x`` has another number of nodes than ``matrix`` has columns.
    """
    if x.dim() not in (2, 3) or x.size(-2) != matrix.size[1]:
        raise InputError(
            "x",
            list(x.shape),
            f"the matrix has {matrix.size[1]} columns",
            f"Give features of shape [{matrix.size[1]}, C] or [B, {matrix.size[1]}, C]",
        )
    out = _SpMM.apply(*matrix, x if x.dim() == 3 else x.unsqueeze(0))
    return out if x.dim() == 3 else out.squeeze(0)


class _SpMM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rowptr: Tensor,
        col: Tensor,
        value: Tensor,
        rowptr_t: Tensor,
        row_t: Tensor,
        perm_t: Tensor,
        x: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(rowptr, col, value, rowptr_t, row_t, perm_t, x)
        return _gather_sum(rowptr, col, value, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        matrix, x = SparseMatrix(*ctx.saved_tensors[:-1]), ctx.saved_tensors[-1]
        grad_value = grad_x = None
        if ctx.needs_input_grad[2]:
            products = (grad[:, matrix.row] * x[:, matrix.col]).sum(dim=(0, 2))
            grad_value = products.to(matrix.value.dtype)
        if ctx.needs_input_grad[6]:
            value_t = matrix.value[matrix.perm_t]
            grad_x = _gather_sum(matrix.rowptr_t, matrix.row_t, value_t, grad)
        return None, None, grad_value, None, None, None, grad_x


def _gather_sum(rowptr: Tensor, col: Tensor, value: Tensor, x: Tensor) -> Tensor:
    # embedding_bag over B copies of the rows is torch's fastest weighted gather-and-sum on CPU.
    batch, nodes, channels = x.shape
    if x.numel() == 0:
        return x.new_zeros(batch, rowptr.numel() - 1, channels)
    copies = torch.arange(batch, device=x.device).unsqueeze(1)
    starts = (rowptr[:-1] + copies * col.numel()).flatten()
    out = F.embedding_bag(
        (col + copies * nodes).flatten(),
        x.reshape(batch * nodes, channels),
        torch.cat([starts, starts.new_full((1,), batch * col.numel())]),
        mode="sum",
        per_sample_weights=value.to(x.dtype).repeat(batch),
        include_last_offset=True,
    )
    return out.view(batch, -1, channels)
