"""Group normalisation of node features over the nodes of one graph, with the ReLU that follows."""

from typing import Any

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops import _native, reference
from bilayer_graph.ops.library import HAS_TRITON, call, needs_plain_torch, register, widen

aten = torch.ops.aten

_PART = 2**20
"""Elements that the backward pass takes at a time on a CPU: 4 MB in float32."""

_SHORT = 2**16
"""Elements up to which torch's own group norm is faster on a CPU, two transposes included."""

_LONG = 2**17
"""Elements of an item from which its moments are faster by torch's batch norm than by sums."""

_LARGEST = 1024
"""Channels of a group up to which the CUDA kernels are used; above, and for float64, torch."""


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float, relu: bool = False
) -> Tensor:
    r"""Normalise groups of channels over the nodes of each graph, without leaving the node layout.

    .. math:: y = \gamma \, (x - \mu_{bg}) / \sqrt{\sigma^2_{bg} + \epsilon} + \beta

    with the mean and the (biased) variance over all nodes and all channels of group :math:`g`, and
    then, with ``relu``, :math:`\max(y, 0)`. The variance is that of the centred features, so that
    a mean far from zero costs it no digits; the result loses those of :math:`\mu / \sigma`, three
    of seven at 1e3. Differentiable any number of times; the backward pass keeps ``x`` and two
    numbers a group.

    Args:
        x: Features, shape ``[N, C]`` or ``[B, N, C]``, of any floating dtype and memory layout.
        num_groups: Number of groups :math:`G`, a divisor of ``C``.
        weight: :math:`\gamma`, shape ``[C]``.
        bias: :math:`\beta`, shape ``[C]``.
        eps: :math:`\epsilon`.
        relu: Whether negative results become zero.

    Returns:
        The shape and the dtype of ``x``; the statistics are computed in float32 at least.

    Raises:
        InputError: If ``x`` is not ``[N, C]`` or ``[B, N, C]``, or ``C`` does not fall into groups
            or is not that of ``weight``.
    """
    if x.dim() not in (2, 3):
        raise InputError("x", list(x.shape), "not node features", "Give [N, C] or [B, N, C]")
    check_channels(x, num_groups, weight)
    batched = x if x.dim() == 3 else x.unsqueeze(0)
    if _is_short(batched, weight) or needs_plain_torch():
        out = reference.group_norm(batched, num_groups, weight, bias, eps, relu).contiguous()
    else:
        out = call("group_norm", batched, num_groups, weight, bias, eps, relu)[0]
    return out if x.dim() == 3 else out.squeeze(0)


def check_channels(x: Tensor, num_groups: int, weight: Tensor) -> None:
    """Raise :class:`InputError` unless channels fall into groups and are those of the weight."""
    channels = x.size(-1)
    if num_groups < 1 or channels % num_groups:
        problem = f"does not divide {channels} channels"
        raise InputError("num_groups", num_groups, problem, "Give a divisor of the channels")
    if channels != weight.size(0):
        problem, remedy = f"the weight has {weight.size(0)} channels", "Give as many"
        raise InputError("x", list(x.shape), problem, remedy)


def _is_short(x: Tensor, weight: Tensor) -> bool:
    """Return whether torch's own group norm is the faster; compiled code has no calls to spare."""
    if torch.compiler.is_compiling() or not x.is_cpu or x.dtype != weight.dtype:
        return False
    if _native.serves(x, weight) and not torch.is_grad_enabled():
        return False
    return 0 < x.numel() <= _SHORT and x.dtype in (torch.float32, torch.float64)


def _group_norm(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    wide = widen(x).contiguous()
    means, variances = (_by_group(each, num_groups) for each in _moments(wide))
    mean = means.mean(dim=2, keepdim=True)
    # Of a group: the mean of its channels' variances and the variance of their means.
    variance = (variances + (means - mean).square_()).mean(dim=2, keepdim=True)
    rstd = (variance + eps).rsqrt_()
    shift, scale = _line(x, weight, bias, mean, rstd)
    out = torch.addcmul(shift, wide, scale)
    return (out.relu_() if relu else out).to(x.dtype), mean, rstd


def _group_norm_cpu(x: Tensor, num_groups: int, weight: Tensor, *rest: Any) -> Any:
    way = _native.group_norm if _native.serves(x, weight) else _group_norm
    return way(x, num_groups, weight, *rest)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel over the nodes, ``[B, C]`` each."""
    if x.is_cpu and x.size(0) and x[0].numel() >= _LONG:
        found = [aten.batch_norm_update_stats(item, None, None, 0.0) for item in x]
        means, variances = zip(*found, strict=True)
        return torch.stack(means), torch.stack(variances)
    # Sums over dim 1 keep the node layout; var_mean there is 30 times slower on a CPU.
    mean = x.mean(dim=1)
    return mean, aten.mse_loss(x, mean.unsqueeze(1), 0).mean(dim=1)


def _line(
    x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the shift and the scale of the result ``shift + x * scale``, ``[B, 1, C]`` each."""
    groups = mean.size(1)
    scale = rstd * weight.view(groups, -1)
    shift = torch.addcmul(bias.view(groups, -1), mean, scale, value=-1)
    return _per_channel(shift, x), _per_channel(scale, x)


def _group_norm_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    rstd: Tensor,
    relu: bool,
    *,
    items: int,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = x.new_empty(x.shape)
    shift, scale = _line(x, weight, bias, mean, rstd)
    given = (each.split(items) for each in (grad, x, grad_x, shift, scale))
    grads, xs, grads_x, shifts, scales = given
    parts = zip(grads, xs, grads_x, shifts, scales, strict=True)
    sums = [_sums(*part, relu) for part in parts]
    grads, totals, products = zip(*sums, strict=True)
    total = _by_group(torch.cat(totals), mean.size(1))
    product = (_by_group(torch.cat(products), mean.size(1)) - mean * total) * rstd
    weight_g = weight.view(mean.size(1), -1)
    members = x.size(1) * weight_g.size(1)
    slope = rstd.square() * (weight_g * product).sum(dim=2, keepdim=True) / -members
    offset = rstd * (weight_g * total).sum(dim=2, keepdim=True) / -members - slope * mean
    line = (_per_channel(each, x).split(items) for each in (offset, slope, rstd * weight_g))
    for part in zip(grads, xs, grads_x, *line, strict=True):
        _combine(*part)
    grad_weight, grad_bias = (each.sum(dim=0).view(-1) for each in (product, total))
    return grad_x, grad_weight.to(weight.dtype), grad_bias.to(weight.dtype)


def _sums(
    grad: Tensor, x: Tensor, grad_x: Tensor, shift: Tensor, scale: Tensor, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradient before the ReLU, and its sums over the nodes: alone and times ``x``."""
    if relu:
        # The result is computed again: whoever has it may have changed it in place.
        out = torch.addcmul(shift, widen(x), scale).to(grad.dtype)
        grad = aten.threshold_backward.grad_input(grad, out, 0, grad_input=grad_x)
    wide = widen(grad)
    return grad, wide.sum(dim=1), (wide * widen(x)).sum(dim=1)


def _combine(
    grad: Tensor, x: Tensor, grad_x: Tensor, offset: Tensor, slope: Tensor, scale: Tensor
) -> None:
    """Write ``offset + slope * x + scale * grad``."""
    line = torch.addcmul(offset, widen(x), slope)
    torch.addcmul(line, widen(grad), scale, out=grad_x)


def _group_norm_backward_cpu(
    grad: Tensor, x: Tensor, weight: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    if _native.serves(grad, x, weight):
        return _native.group_norm_backward(grad, x, weight, *rest)
    # Part by part, what lies between stays in the cache, and no new memory is asked for.
    size = max(1, x.size(1) * x.size(2))
    return _group_norm_backward(grad, x, weight, *rest, items=max(1, _PART // size))


def _has_kernel(x: Tensor, num_groups: int) -> bool:
    members = x.size(2) // num_groups
    return HAS_TRITON and x.dtype != torch.float64 and x.numel() > 0 and members <= _LARGEST


def _group_norm_cuda(x: Tensor, num_groups: int, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    if not _has_kernel(x, num_groups):
        return _group_norm(x, num_groups, *rest)
    from bilayer_graph.ops._triton.group_norm import group_norm as launch

    return launch(x, num_groups, *rest)


def _group_norm_backward_cuda(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    given = grad, x, weight, bias, mean, *rest
    if not _has_kernel(x, mean.size(1)):
        return _group_norm_backward(*given, items=max(1, x.size(0)))
    from bilayer_graph.ops._triton.group_norm_backward import group_norm_backward as launch

    return launch(*given)


def _by_group(value: Tensor, num_groups: int) -> Tensor:
    """Split channels into groups: ``[B, C]`` to ``[B, G, C / G]``."""
    return value.view(value.size(0), num_groups, value.size(1) // num_groups)


def _per_channel(value: Tensor, x: Tensor) -> Tensor:
    """Spread values of groups: ``[B, G, 1]`` or ``[B, G, C / G]`` to ``[B, 1, C]``."""
    size = x.size(2) // value.size(1)
    return value.expand(-1, -1, size).reshape(x.size(0), 1, x.size(2))


def _fake(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    statistic = widen(x.new_empty(x.size(0), num_groups, 1))
    return x.new_empty(x.shape), statistic, torch.empty_like(statistic)


def _fake_backward(grad: Tensor, x: Tensor, weight: Tensor, *_: Any) -> Any:
    return x.new_empty(x.shape), torch.empty_like(weight), torch.empty_like(weight)


def _save(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, ctx.num_groups, weight, bias, ctx.eps, ctx.relu = inputs
    ctx.save_for_backward(x, weight, bias, *output[1:])
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    x, weight, bias, mean, rstd = ctx.saved_tensors
    if torch.is_grad_enabled():
        grads = _differentiable_backward(ctx, grad, x, weight, bias)
    else:
        grads = call("group_norm_backward", grad, x, weight, bias, mean, rstd, ctx.relu)
    return grads[0], None, grads[1], grads[2], None, None


def _differentiable_backward(ctx: Any, grad: Tensor, *inputs: Tensor) -> list[Tensor | None]:
    # Gradients that are to be differentiated again come from torch's own group norm.
    x, weight, bias = inputs
    out = reference.group_norm(x, ctx.num_groups, weight, bias, ctx.eps)
    wanted = [each for each in inputs if each.requires_grad]
    grads = torch.autograd.grad(out.relu() if ctx.relu else out, wanted, grad, create_graph=True)
    found = iter(grads)
    return [next(found) if each.requires_grad else None for each in inputs]


register(
    "group_norm(Tensor x, int num_groups, Tensor weight, Tensor bias, float eps, bool relu) "
    "-> (Tensor, Tensor, Tensor)",
    cpu=_group_norm_cpu,
    cuda=_group_norm_cuda,
    fake=_fake,
    backward=_backward,
    save=_save,
)
register(
    "group_norm_backward(Tensor grad, Tensor x, Tensor weight, Tensor bias, Tensor mean, "
    "Tensor rstd, bool relu) -> (Tensor, Tensor, Tensor)",
    cpu=_group_norm_backward_cpu,
    cuda=_group_norm_backward_cuda,
    fake=_fake_backward,
)
