"""RowNorm and softmax: the rows of a sparse adjacency, scaled to a unit sum."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import readable
from bilayer_graph.ops.library import HAS_TRITON, call, needs_plain_torch, register, widen
from bilayer_graph.ops.segment import Rows, regular_length


def row_norm(weight: Tensor, rowptr: Tensor) -> Tensor:
    r"""Scale edge weights so that each row's absolute values sum to 1.

    .. math:: a_e = w_e \big/ \textstyle\sum_{e': r(e') = r(e)} |w_{e'}|

    Absolute values, because a signed sum of learnable weights can cross zero. A row of zeros stays
    zero. The unit that the weights are measured in cancels. The same input gives the same bits.

    Args:
        weight: Edge weights, row by row, shape ``[E]``, of any floating dtype.
        rowptr: Where each row starts in ``weight``, shape ``[M + 1]``, int32 or int64; see
            :class:`~bilayer_graph.ops.SparseMatrix`.

    Returns:
        Shape ``[E]``, in the dtype of ``weight``; sums are kept in float32 at least.

    Raises:
        InputError: If ``weight`` is not one number an edge, or ``rowptr`` does not part them; on
            a GPU only the shape of ``rowptr`` is checked.
    """
    _check(weight, rowptr)
    if needs_plain_torch():
        return _norm(weight, rowptr)
    out: Tensor = call("row_norm", weight, rowptr)
    return out


def row_softmax(weight: Tensor, rowptr: Tensor) -> Tensor:
    r"""Return the softmax of edge weights over each row.

    .. math:: a_e = \exp(w_e) \big/ \textstyle\sum_{e': r(e') = r(e)} \exp(w_{e'})

    Args:
        weight: Edge weights, row by row, shape ``[E]``, of any floating dtype.
        rowptr: Where each row starts in ``weight``, shape ``[M + 1]``, as for :func:`row_norm`.

    Returns:
        Shape ``[E]``, in the dtype of ``weight``; sums are kept in float32 at least.

    Raises:
        InputError: If ``weight`` is not one number an edge, or ``rowptr`` does not part them; on
            a GPU only the shape of ``rowptr`` is checked.
    """
    _check(weight, rowptr)
    if needs_plain_torch():
        return _softmax(weight, rowptr)
    out: Tensor = call("row_softmax", weight, rowptr)
    return out


def _check(weight: Tensor, rowptr: Tensor) -> None:
    if weight.dim() != 1:
        raise InputError(
            "weight", list(weight.shape), "not one weight an edge", "Give weights of shape [E]"
        )
    if rowptr.dim() != 1 or rowptr.numel() == 0:
        remedy = "Give where each row starts, and the end: shape [M + 1]"
        raise InputError("rowptr", list(rowptr.shape), "not the starts of rows", remedy)
    if not rowptr.is_cpu or not readable(rowptr):
        return
    if regular_length(rowptr, weight.numel()) is None:
        _check_rows(weight.numel(), rowptr)


def _check_rows(number: int, rowptr: Tensor) -> None:
    ends = int(rowptr[0]), int(rowptr[-1])
    if ends != (0, number):
        problem = f"there are {number} weights"
        raise InputError("rowptr", f"{ends[0]}..{ends[1]}", problem, f"Give 0..{number}")
    if (rowptr[1:] < rowptr[:-1]).any():
        row = int((rowptr[1:] < rowptr[:-1]).nonzero()[0])
        problem = f"row {row} ends before it starts"
        raise InputError("rowptr", rowptr[row : row + 2].tolist(), problem, "Give starts in order")


def _total(wide: Tensor, rows: Rows) -> Tensor:
    total = rows.sum(wide.abs())
    return total.masked_fill(total == 0, 1)


def _norm(weight: Tensor, rowptr: Tensor) -> Tensor:
    wide, rows = widen(weight), Rows(rowptr, weight.numel())
    return (wide / rows.spread(_total(wide, rows))).to(weight.dtype)


def _norm_backward(weight: Tensor, rowptr: Tensor, grad: Tensor) -> Tensor:
    # a = w / t with t = sum |w|: grad_w = (grad - sign(w) sum(grad w) / t) / t
    wide, grad, rows = widen(weight), widen(grad), Rows(rowptr, weight.numel())
    total = _total(wide, rows)
    mean = rows.spread(rows.sum(grad * wide) / total)
    return ((grad - wide.sign() * mean) / rows.spread(total)).to(weight.dtype)


def _softmax(weight: Tensor, rowptr: Tensor) -> Tensor:
    wide, rows = widen(weight), Rows(rowptr, weight.numel())
    power = (wide - rows.spread(rows.max(wide))).exp()
    return (power / rows.spread(rows.sum(power))).to(weight.dtype)


def _softmax_backward(out: Tensor, rowptr: Tensor, grad: Tensor) -> Tensor:
    wide, grad, rows = widen(out), widen(grad), Rows(rowptr, out.numel())
    mean = rows.spread(rows.sum(grad * wide))
    return (wide * (grad - mean)).to(out.dtype)


def _launch(name: str, *args: Any) -> Any:
    from bilayer_graph.ops._triton import row_norm as kernels

    return getattr(kernels, name)(*args)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


# A second derivative goes through the plain functions, which autograd knows.
def _backward_norm(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    given = (*ctx.saved_tensors, grad)
    if torch.is_grad_enabled():
        return _norm_backward(*given), None
    return call("row_norm_backward", *given), None


def _backward_softmax(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    weight, rowptr = ctx.saved_tensors
    # Computed again: whoever has the result may have changed it in place.
    given = call("row_softmax", weight, rowptr), rowptr, grad
    if torch.is_grad_enabled():
        return _softmax_backward(*given), None
    return call("row_softmax_backward", *given), None


def _fake(weight: Tensor, *_: Any) -> Tensor:
    return weight.new_empty(weight.shape)


def _register(name: str, plain: Any, backward: Any = None, save: Any = None) -> None:
    arguments = "weight, Tensor rowptr" + (", Tensor grad" if backward is None else "")
    register(
        f"{name}(Tensor {arguments}) -> Tensor",
        cpu=plain,
        cuda=partial(_launch, name) if HAS_TRITON else plain,
        fake=_fake,
        backward=backward,
        save=save,
    )


_register("row_norm", _norm, _backward_norm, _save)
_register("row_norm_backward", _norm_backward)
_register("row_softmax", _softmax, _backward_softmax, _save)
_register("row_softmax_backward", _softmax_backward)
