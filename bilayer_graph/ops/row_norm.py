"""RowNorm and softmax: the rows of a sparse adjacency, scaled to a unit sum."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops.library import HAS_TRITON, LIBRARY
from bilayer_graph.ops.segment import segment_max, segment_sum, spread

EPS = 1e-6
"""Added to the sum of absolute values, so that an empty row stays zero."""

LIBRARY.define("row_norm(Tensor weight, Tensor rowptr, float eps) -> Tensor")
LIBRARY.define("row_norm_backward(Tensor weight, Tensor rowptr, Tensor grad, float eps) -> Tensor")
LIBRARY.define("row_softmax(Tensor weight, Tensor rowptr) -> Tensor")
LIBRARY.define("row_softmax_backward(Tensor out, Tensor rowptr, Tensor grad) -> Tensor")


def row_norm(weight: Tensor, rowptr: Tensor, eps: float = EPS) -> Tensor:
    r"""Scale edge weights so that each row's absolute values sum to 1.

    .. math:: a_e = w_e \big/ \big( \textstyle\sum_{e': r(e') = r(e)} |w_{e'}| + \epsilon \big)

    Absolute values, because a signed sum of learnable weights can cross zero. The same input gives
    the same bits.

    Args:
        weight: Edge weights, row by row, shape ``[E]``, of any floating dtype.
        rowptr: Where each row starts in ``weight``, shape ``[M + 1]``, int32 or int64; see
            :class:`~bilayer_graph.ops.SparseMatrix`.
        eps: The constant :math:`\epsilon`.

    Returns:
        Shape ``[E]``, in the dtype of ``weight``; sums are kept in float32 at least.

    Raises:
        InputError: If ``weight`` is not one number an edge.
    """
    _check_edges(weight)
    if torch.onnx.is_in_onnx_export():
        return _norm(weight, rowptr, eps)
    return torch.ops.bilayer_graph.row_norm(weight, rowptr, eps)


def row_softmax(weight: Tensor, rowptr: Tensor) -> Tensor:
    r"""Return the softmax of edge weights over each row.

    .. math:: a_e = \exp(w_e) \big/ \textstyle\sum_{e': r(e') = r(e)} \exp(w_{e'})

    Args:
        weight: Edge weights, row by row, shape ``[E]``, of any floating dtype.
        rowptr: Where each row starts in ``weight``, shape ``[M + 1]``, as for :func:`row_norm`.

    Returns:
        Shape ``[E]``, in the dtype of ``weight``; sums are kept in float32 at least.

    Raises:
        InputError: If ``weight`` is not one number an edge.
    """
    _check_edges(weight)
    if torch.onnx.is_in_onnx_export():
        return _softmax(weight, rowptr)
    return torch.ops.bilayer_graph.row_softmax(weight, rowptr)


def _check_edges(weight: Tensor) -> None:
    if weight.dim() != 1:
        raise InputError(
            "weight", list(weight.shape), "not one weight an edge", "Give weights of shape [E]"
        )


def _wide(weight: Tensor) -> Tensor:
    return weight if weight.dtype == torch.float64 else weight.float()


def _norm(weight: Tensor, rowptr: Tensor, eps: float) -> Tensor:
    wide = _wide(weight)
    return (wide / spread(segment_sum(wide.abs(), rowptr) + eps, rowptr, wide)).to(weight.dtype)


def _norm_backward(weight: Tensor, rowptr: Tensor, grad: Tensor, eps: float) -> Tensor:
    # a = w / t with t = sum |w| + eps: grad_w = (grad - sign(w) sum(grad w) / t) / t
    wide, grad = _wide(weight), _wide(grad)
    total = segment_sum(wide.abs(), rowptr) + eps
    mean = spread(segment_sum(grad * wide, rowptr) / total, rowptr, wide)
    return ((grad - wide.sign() * mean) / spread(total, rowptr, wide)).to(weight.dtype)


def _softmax(weight: Tensor, rowptr: Tensor) -> Tensor:
    wide = _wide(weight)
    top = segment_max(wide, rowptr)
    power = (wide - spread(top, rowptr, wide)).exp()
    return (power / spread(segment_sum(power, rowptr), rowptr, wide)).to(weight.dtype)


def _softmax_backward(out: Tensor, rowptr: Tensor, grad: Tensor) -> Tensor:
    wide, grad = _wide(out), _wide(grad)
    mean = spread(segment_sum(grad * wide, rowptr), rowptr, wide)
    return (wide * (grad - mean)).to(out.dtype)


def _launch(name: str, *args: Any) -> Tensor:
    from bilayer_graph.ops._triton import row_norm as kernels

    return getattr(kernels, name)(*args)


def _save_norm(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    weight, rowptr, ctx.eps = inputs
    ctx.save_for_backward(weight, rowptr)


def _save_softmax(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(output, inputs[1])


# A second derivative goes through the plain functions, which autograd knows.
def _backward_norm(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    op = torch.ops.bilayer_graph.row_norm_backward
    backward = _norm_backward if torch.is_grad_enabled() else op
    weight, rowptr = ctx.saved_tensors
    return backward(weight, rowptr, grad, ctx.eps), None, None


def _backward_softmax(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    op = torch.ops.bilayer_graph.row_softmax_backward
    backward = _softmax_backward if torch.is_grad_enabled() else op
    out, rowptr = ctx.saved_tensors
    return backward(out, rowptr, grad), None


def _fake(weight: Tensor, *_: Any) -> Tensor:
    return weight.new_empty(weight.shape)


_PLAIN = {
    "row_norm": _norm,
    "row_norm_backward": _norm_backward,
    "row_softmax": _softmax,
    "row_softmax_backward": _softmax_backward,
}
for name, plain in _PLAIN.items():
    LIBRARY.impl(name, plain, "CPU")
    LIBRARY.impl(name, partial(_launch, name) if HAS_TRITON else plain, "CUDA")
    torch.library.register_fake(f"bilayer_graph::{name}", _fake, lib=LIBRARY)
torch.library.register_autograd(
    "bilayer_graph::row_norm", _backward_norm, setup_context=_save_norm, lib=LIBRARY
)
torch.library.register_autograd(
    "bilayer_graph::row_softmax", _backward_softmax, setup_context=_save_softmax, lib=LIBRARY
)
