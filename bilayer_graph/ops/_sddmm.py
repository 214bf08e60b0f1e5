"""The product of two batches of dense matrices, at the entries of one sparse matrix only."""

from typing import Any

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops import reference
from bilayer_graph.ops._sparse_matrix import MATRIX, SparseMatrix, check_features
from bilayer_graph.ops.block_diagonal import block_diagonal, stack_copies
from bilayer_graph.ops.library import HAS_TRITON, call, needs_plain_torch, register


def sddmm(matrix: SparseMatrix, left: Tensor, right: Tensor) -> Tensor:
    r"""Multiply two batches of features at a sparse matrix's entries, and add up the batch.

    .. math:: d_e = \textstyle\sum_b \langle L_{b, r(e)}, R_{b, c(e)} \rangle

    for the entry in row :math:`r(e)` and column :math:`c(e)`: the gradient of
    :func:`~bilayer_graph.ops.spmm` for the values, if :math:`L` is that of its output and
    :math:`R` its input. No tensor of messages ``[B, E, C]`` is built. Differentiable any number of
    times, summed in float32 at least, and the same bits each time.

    Args:
        matrix: Of size ``[M, N]``; its values do not matter.
        left: :math:`L`, shape ``[M, C]`` or ``[B, M, C]``, of any floating dtype.
        right: :math:`R`, shape ``[N, C]`` or ``[B, N, C]``, in the dtype of ``left``.

    Returns:
        Shape ``[E]``, in the dtype of ``matrix.value``.

    Raises:
        InputError: If the features do not fit the matrix or each other.
    """
    check_features("left", left, "rows", matrix.shape[0], matrix)
    check_features("right", right, "columns", matrix.shape[1], matrix)
    if (left.shape[:-2], left.size(-1), left.dtype) != (
        right.shape[:-2],
        right.size(-1),
        right.dtype,
    ):
        raise InputError(
            "right",
            f"{list(right.shape)} {right.dtype}",
            f"left is {list(left.shape)} {left.dtype}",
            "Give two batches of one size, number of channels and dtype",
        )
    if needs_plain_torch():
        return reference.sddmm(matrix, left, right).to(matrix.value.dtype)
    batched = (left, right) if left.dim() == 3 else (left.unsqueeze(0), right.unsqueeze(0))
    out: Tensor = call("sddmm", *matrix, *batched)
    return out


def _sddmm_cpu(*args: Tensor) -> Tensor:
    # What embedding_bag's backward does: one dot product an entry, straight from the features.
    *fields, left, right = args
    matrix, (batch, rows, channels), columns = SparseMatrix(*fields), left.shape, right.size(1)
    if left.numel() == 0 or matrix.col.numel() == 0:
        return matrix.value.new_zeros(matrix.col.numel())
    wide = torch.promote_types(left.dtype, torch.float32)
    starts, index = block_diagonal(matrix.rowptr, matrix.col, columns, batch)
    products: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        left.to(wide).reshape(batch * rows, channels),
        right.to(wide).reshape(batch * columns, channels),
        index,
        starts,
        stack_copies(matrix.row.to(index.dtype), rows, batch),
        mode=0,
    )
    return products.view(batch, -1).sum(dim=0).to(matrix.value.dtype)


def _sddmm_cuda(*args: Tensor) -> Tensor:
    from bilayer_graph.ops._triton.sddmm import sddmm as launch

    return launch(*args)


def _sddmm_fake(*args: Tensor) -> Tensor:
    return torch.empty_like(args[2])


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *fields, left, right = ctx.saved_tensors
    matrix = SparseMatrix(*fields)._replace(value=grad)
    grad_left = grad_right = None
    if ctx.needs_input_grad[7]:
        grad_left = call("spmm", *matrix, right)
    if ctx.needs_input_grad[8]:
        grad_right = call("spmm", *matrix.t(), left)
    return *[None] * 7, grad_left, grad_right


register(
    f"sddmm({MATRIX}, Tensor left, Tensor right) -> Tensor",
    cpu=_sddmm_cpu,
    cuda=_sddmm_cuda if HAS_TRITON else _sddmm_cpu,
    fake=_sddmm_fake,
    backward=_backward,
    save=_setup_context,
)
