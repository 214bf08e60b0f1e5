"""The product of two batches of dense matrices, at the entries of one sparse matrix only."""

from typing import Any

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops.block_diagonal import block_diagonal, stack_copies
from bilayer_graph.ops.library import HAS_TRITON, LIBRARY
from bilayer_graph.ops.sparse_matrix import SparseMatrix, check_features

LIBRARY.define(
    "sddmm(Tensor rowptr, Tensor col, Tensor value, Tensor rowptr_t, Tensor row_t, Tensor perm_t, "
    "Tensor perm, Tensor left, Tensor right) -> Tensor"
)


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
    check_features("left", left, "rows", matrix.size[0], matrix)
    check_features("right", right, "columns", matrix.size[1], matrix)
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
    batched = (left, right) if left.dim() == 3 else (left.unsqueeze(0), right.unsqueeze(0))
    out: Tensor = torch.ops.bilayer_graph.sddmm(*matrix, *batched)
    return out


def _sddmm_cpu(
    rowptr: Tensor,
    col: Tensor,
    value: Tensor,
    rowptr_t: Tensor,
    row_t: Tensor,
    perm_t: Tensor,
    perm: Tensor,
    left: Tensor,
    right: Tensor,
) -> Tensor:
    # What embedding_bag's backward does: one dot product an entry, straight from the features.
    (batch, rows, channels), columns = left.shape, right.size(1)
    if left.numel() == 0 or col.numel() == 0:
        return value.new_zeros(col.numel())
    wide = torch.promote_types(left.dtype, torch.float32)
    starts, index = block_diagonal(rowptr, col, columns, batch)
    products = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        left.to(wide).reshape(batch * rows, channels),
        right.to(wide).reshape(batch * columns, channels),
        index,
        starts,
        stack_copies(row_t[perm], rows, batch),
        mode=0,
    )
    return products.view(batch, -1).sum(dim=0).to(value.dtype)


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
        grad_left = torch.ops.bilayer_graph.spmm(*matrix, right)
    if ctx.needs_input_grad[8]:
        grad_right = torch.ops.bilayer_graph.spmm(*matrix.t(), left)
    return *[None] * 7, grad_left, grad_right


LIBRARY.impl("sddmm", _sddmm_cpu, "CPU")
LIBRARY.impl("sddmm", _sddmm_cuda if HAS_TRITON else _sddmm_cpu, "CUDA")
torch.library.register_fake("bilayer_graph::sddmm", _sddmm_fake, lib=LIBRARY)
torch.library.register_autograd(
    "bilayer_graph::sddmm", _backward, setup_context=_setup_context, lib=LIBRARY
)
