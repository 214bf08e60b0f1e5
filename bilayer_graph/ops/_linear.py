"""The linear layer, by the fastest product of the processor."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops.library import call, needs_plain_torch, own, register

_LARGE, _LARGE_INTEL = 2**20, 2**26
"""Multiply-adds from which oneDNN is the faster; below, its calls take longer than its products."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.t() + bias`` as :func:`torch.nn.functional.linear`, on some CPUs faster.

    Torch's float32 products come from MKL, which leaves AVX-512 unused on an AMD processor; oneDNN
    uses it: 2.2 times as fast there. On Intel's, oneDNN is faster by a tenth where products are
    large. Differentiable any number of times.

    Args:
        x: Features, shape ``[.., C_in]``.
        weight: Shape ``[C_out, C_in]``.
        bias: Shape ``[C_out]``.

    Returns:
        Shape ``[.., C_out]``.

    Raises:
        InputError: If the features have another number of channels.
    """
    if x.size(-1) != weight.size(1):
        shape, remedy = list(x.shape), f"Give features of shape [.., {weight.size(1)}]"
        raise InputError("x", shape, f"the weight takes {weight.size(1)} channels", remedy)
    if not _may_be_ours(x, weight) or torch.is_autocast_enabled("cpu") or needs_plain_torch():
        return F.linear(x, weight, bias)
    out: Tensor = call("linear", x, weight, bias)
    return out


def _may_be_ours(x: Tensor, weight: Tensor) -> bool:
    """Return whether oneDNN may be the faster; compiled code asks later, when the size is known."""
    return x.is_cpu and (torch.compiler.is_compiling() or _is_large(x, weight))


def _is_large(x: Tensor, weight: Tensor) -> bool:
    return x.numel() * weight.size(0) >= (_LARGE_INTEL if _is_intel() else _LARGE)


@cache
def _is_intel() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "GenuineIntel" in cpuinfo.read_text()


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return own(F.linear(x, weight, bias), (*x.shape[:-1], weight.size(0)))


def _linear_cpu(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    onednn = x.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    if not (onednn and _is_large(x, weight)):
        return _linear(x, weight, bias)
    out = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return own(out, (*x.shape[:-1], weight.size(0)))


def _fake(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.size(0))


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
    x, weight, _ = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    # Not -1, which says nothing where there are no channels.
    number = math.prod(x.shape[:-1])
    rows, grad_rows = (each.reshape(number, each.size(-1)) for each in (x, grad))
    to_x, to_weight, to_bias = ctx.needs_input_grad
    return (
        linear(grad, weight.t()) if to_x else None,
        grad_rows.t() @ rows if to_weight else None,
        grad_rows.sum(dim=0) if to_bias else None,
    )


register(
    "linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor",
    cpu=_linear_cpu,
    cuda=_linear,
    fake=_fake,
    backward=_backward,
    save=_save,
)
