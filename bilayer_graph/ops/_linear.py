"""The linear layer, by the fastest product of the processor."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops.library import needs_plain_torch, own, register


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.t() + bias`` as :func:`torch.nn.functional.linear`, on some CPUs faster.

    Torch's float32 products come from MKL, which leaves AVX-512 unused on an AMD processor;
    oneDNN, behind torch's convolutions, uses it: 2.2 times as fast there. So this is a convolution
    of size 1 where that is possible. Differentiable any number of times.

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
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or needs_plain_torch():
        return F.linear(x, weight, bias)
    out: Tensor = torch.ops.bilayer_graph.linear(x, weight, bias)
    return out


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return own(F.linear(x, weight, bias), (*x.shape[:-1], weight.size(0)))


def _linear_cpu(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    empty = x.numel() == 0 or weight.numel() == 0
    if x.dtype != torch.float32 or empty or not torch.backends.mkldnn.is_available():
        return _linear(x, weight, bias)
    # One image of one line, whose pixels are the rows of x; its channels are last in memory.
    image = x.reshape(1, 1, -1, x.size(-1)).permute(0, 3, 1, 2)
    out = F.conv2d(image, weight.unsqueeze(-1).unsqueeze(-1), bias).permute(0, 2, 3, 1)
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
