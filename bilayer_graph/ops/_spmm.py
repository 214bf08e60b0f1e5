"""One sparse matrix times a batch of dense ones."""

from typing import Any

import torch
from torch import Tensor

from bilayer_graph.ops import reference
from bilayer_graph.ops._sparse_matrix import MATRIX, SparseMatrix, check_features
from bilayer_graph.ops.block_diagonal import block_diagonal, repeat_value
from bilayer_graph.ops.library import HAS_TRITON, call, needs_plain_torch, own, register


def spmm(matrix: SparseMatrix, x: Tensor) -> Tensor:
    r"""Multiply one sparse matrix with every item of a batch: :math:`Y_b = A X_b`.

    Differentiable in ``x`` and in ``matrix.value``, any number of times. Sums are kept in float32
    at least. Nothing is added atomically, in the backward pass neither, which multiplies with the
    transposed matrix row by row: the same input gives the same bits.

    Args:
        matrix: :math:`A`, of size ``[M, N]``; values of any floating dtype.
        x: Features, shape ``[N, C]`` or ``[B, N, C]``, of any floating dtype and memory layout.

    Returns:
        Shape ``[M, C]`` or ``[B, M, C]``, contiguous, in the dtype of ``x``.

    Raises:
        InputError: If ``x`` has another number of nodes than ``matrix`` has columns, is on
            another device, or is not floating-point.
    """
    check_features("x", x, "columns", matrix.shape[1], matrix)
    if needs_plain_torch():
        return reference.spmm(matrix, x)
    out: Tensor = call("spmm", *matrix, x if x.dim() == 3 else x.unsqueeze(0))
    return out if x.dim() == 3 else out.squeeze(0)


def _spmm_cpu(*args: Tensor) -> Tensor:
    # embedding_bag over B copies of the rows is torch's fastest weighted gather-and-sum on CPU.
    *fields, x = args
    matrix, (batch, nodes, channels) = SparseMatrix(*fields), x.shape
    if x.numel() == 0 or matrix.col.numel() == 0:
        return x.new_zeros(batch, matrix.shape[0], channels)
    starts, index = block_diagonal(matrix.rowptr, matrix.col, nodes, batch)
    out = torch._embedding_bag_forward_only(
        x.reshape(batch * nodes, channels),
        index,
        starts,
        per_sample_weights=repeat_value(matrix.value, x.dtype, batch),
    )[0]
    return own(out, (batch, matrix.shape[0], channels))


def _spmm_cuda(*args: Tensor) -> Tensor:
    from bilayer_graph.ops._triton.spmm import spmm as launch

    return launch(*args)


def _spmm_fake(*args: Tensor) -> Tensor:
    rowptr, x = args[0], args[-1]
    return x.new_empty(x.size(0), rowptr.size(0) - 1, x.size(2))


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *fields, x = ctx.saved_tensors
    matrix = SparseMatrix(*fields)
    grad_value = grad_x = None
    if ctx.needs_input_grad[2]:
        grad_value = call("sddmm", *matrix, grad, x)
    if ctx.needs_input_grad[7]:
        grad_x = call("spmm", *matrix.t(), grad)
    return None, None, grad_value, None, None, None, None, grad_x


register(
    f"spmm({MATRIX}, Tensor x) -> Tensor",
    cpu=_spmm_cpu,
    cuda=_spmm_cuda if HAS_TRITON else _spmm_cpu,
    fake=_spmm_fake,
    backward=_backward,
    save=_setup_context,
)
