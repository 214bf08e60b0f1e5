"""RowNorm and softmax kernels: one program a row, one pass for its sums and one to scale it."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from bilayer_graph.ops._triton import Build, accumulator


@triton.jit
def _norm_kernel(p_weight, p_rowptr, p_out, ACC: tl.constexpr, BE: tl.constexpr):
    first, last = tl.load(p_rowptr + tl.program_id(0)), tl.load(p_rowptr + tl.program_id(0) + 1)
    b_total = tl.zeros([BE], dtype=ACC)
    for i_e in range(first, last, BE):
        o_e = i_e + tl.arange(0, BE)
        b_total += tl.abs(tl.load(p_weight + o_e, mask=o_e < last, other=0.0).to(ACC))
    total = tl.sum(b_total)
    total = tl.where(total == 0, 1.0, total)
    for i_e in range(first, last, BE):
        o_e = i_e + tl.arange(0, BE)
        b_out = tl.load(p_weight + o_e, mask=o_e < last, other=0.0).to(ACC) / total
        tl.store(p_out + o_e, b_out.to(p_out.dtype.element_ty), mask=o_e < last)


@triton.jit
def _norm_backward_kernel(
    p_weight, p_rowptr, p_grad, p_out, ACC: tl.constexpr, BE: tl.constexpr
):  # fmt: skip
    first, last = tl.load(p_rowptr + tl.program_id(0)), tl.load(p_rowptr + tl.program_id(0) + 1)
    b_total, b_dot = tl.zeros([BE], dtype=ACC), tl.zeros([BE], dtype=ACC)
    for i_e in range(first, last, BE):
        o_e = i_e + tl.arange(0, BE)
        b_weight = tl.load(p_weight + o_e, mask=o_e < last, other=0.0).to(ACC)
        b_total += tl.abs(b_weight)
        b_dot += b_weight * tl.load(p_grad + o_e, mask=o_e < last, other=0.0).to(ACC)
    total = tl.sum(b_total)
    total = tl.where(total == 0, 1.0, total)
    mean = tl.sum(b_dot) / total
    for i_e in range(first, last, BE):
        o_e = i_e + tl.arange(0, BE)
        b_weight = tl.load(p_weight + o_e, mask=o_e < last, other=0.0).to(ACC)
        b_grad = tl.load(p_grad + o_e, mask=o_e < last, other=0.0).to(ACC)
        b_sign = tl.where(b_weight > 0, 1.0, tl.where(b_weight < 0, -1.0, 0.0))
        b_out = (b_grad - b_sign * mean) / total
        tl.store(p_out + o_e, b_out.to(p_out.dtype.element_ty), mask=o_e < last)


@triton.jit
def _softmax_kernel(p_weight, p_rowptr, p_out, ACC: tl.constexpr, BE: tl.constexpr):
    first, last = tl.load(p_rowptr + tl.program_id(0)), tl.load(p_rowptr + tl.program_id(0) + 1)
    b_top = tl.full([BE], -float("inf"), dtype=ACC)
    for i_e in range(first, last, BE):
        o_e = i_e + tl.arange(0, BE)
        b_weight = tl.load(p_weight + o_e, mask=o_e < last, other=-float("inf")).to(ACC)
        b_top = tl.maximum(b_top, b_weight)
    top = tl.max(b_top)
    b_total = tl.zeros([BE], dtype=ACC)
    for i_e in range(first, last, BE):
        o_e = i_e + tl.arange(0, BE)
        b_weight = tl.load(p_weight + o_e, mask=o_e < last, other=-float("inf")).to(ACC)
        b_total += tl.exp(b_weight - top)
    total = tl.sum(b_total)
    for i_e in range(first, last, BE):
        o_e = i_e + tl.arange(0, BE)
        b_weight = tl.load(p_weight + o_e, mask=o_e < last, other=0.0).to(ACC)
        b_out = tl.exp(b_weight - top) / total
        tl.store(p_out + o_e, b_out.to(p_out.dtype.element_ty), mask=o_e < last)


@triton.jit
def _softmax_backward_kernel(
    p_weight, p_rowptr, p_grad, p_out, ACC: tl.constexpr, BE: tl.constexpr
):
    first, last = tl.load(p_rowptr + tl.program_id(0)), tl.load(p_rowptr + tl.program_id(0) + 1)
    b_dot = tl.zeros([BE], dtype=ACC)
    for i_e in range(first, last, BE):
        o_e = i_e + tl.arange(0, BE)
        b_weight = tl.load(p_weight + o_e, mask=o_e < last, other=0.0).to(ACC)
        b_dot += b_weight * tl.load(p_grad + o_e, mask=o_e < last, other=0.0).to(ACC)
    dot = tl.sum(b_dot)
    for i_e in range(first, last, BE):
        o_e = i_e + tl.arange(0, BE)
        b_weight = tl.load(p_weight + o_e, mask=o_e < last, other=0.0).to(ACC)
        b_grad = tl.load(p_grad + o_e, mask=o_e < last, other=0.0).to(ACC)
        b_out = b_weight * (b_grad - dot)
        tl.store(p_out + o_e, b_out.to(p_out.dtype.element_ty), mask=o_e < last)


def row_norm(weight: Tensor, rowptr: Tensor) -> Tensor:
    """Launch :func:`bilayer_graph.ops.row_norm`."""
    return _launch(_norm_kernel, weight, rowptr)


def row_norm_backward(weight: Tensor, rowptr: Tensor, grad: Tensor) -> Tensor:
    """Launch the gradient of :func:`bilayer_graph.ops.row_norm`."""
    return _launch(_norm_backward_kernel, weight, rowptr, grad)


def row_softmax(weight: Tensor, rowptr: Tensor) -> Tensor:
    """Launch :func:`bilayer_graph.ops.row_softmax`."""
    return _launch(_softmax_kernel, weight, rowptr)


def row_softmax_backward(out: Tensor, rowptr: Tensor, grad: Tensor) -> Tensor:
    """Launch the gradient of :func:`bilayer_graph.ops.row_softmax`, given its output."""
    return _launch(_softmax_backward_kernel, out, rowptr, grad)


def _launch(kernel: Any, weight: Tensor, rowptr: Tensor, grad: Tensor | None = None) -> Tensor:
    weight = weight.contiguous()
    out = torch.empty_like(weight)
    rows = rowptr.numel() - 1
    if rows > 0 and weight.numel() > 0:
        BE = min(1024, max(16, triton.next_power_of_2(triton.cdiv(weight.numel(), rows))))
        grads = [] if grad is None else [grad.contiguous()]
        with torch.cuda.device_of(weight):
            kernel[(rows,)](
                weight, rowptr.contiguous(), *grads, out,
                ACC=accumulator(weight.dtype), BE=BE, num_warps=4 if BE > 256 else 1,
            )  # fmt: skip
    return out


def _build(kernel: Any, BE: int) -> Build:
    types = {"p_rowptr": "*i32:16"}
    constants = {"ACC": tl.float32, "BE": BE}
    names = [name for name in kernel.arg_names if name not in constants]
    signature = {name: types.get(name, "*fp32:16") for name in names}
    return Build(kernel, signature, constants, 4 if BE > 256 else 1)


BUILDS = [
    _build(kernel, BE)
    for kernel in (_norm_kernel, _norm_backward_kernel, _softmax_kernel, _softmax_backward_kernel)
    for BE in (16, 1024)
]
