"""One dense, long and narrow matrix times a batch of features."""

from typing import Any

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops.library import HAS_TRITON, call, needs_plain_torch, register

_SHORT = 32
"""Nodes of the smaller graph up to which the CUDA kernels are used; above, torch's products."""

_PART = 2**22
"""Elements that the backward pass takes at a time on a CPU: 16 MB in float32."""


def fusion_product(adjacency: Tensor, x: Tensor) -> Tensor:
    r"""Multiply a dense adjacency with every item of a batch: :math:`Y_b = A X_b`.

    Made for the complete bipartite graph of a small graph (12 joints) and a large one (1723
    vertices), in either direction: features of the large graph are read or written once, and once
    more in the backward pass, which gives both gradients together. Differentiable any number of
    times; the same input gives the same bits. Sums are kept in float32 at least.

    Args:
        adjacency: :math:`A`, shape ``[M, N]``, of any floating dtype and memory layout.
        x: Features, shape ``[N, C]`` or ``[B, N, C]``, of any floating dtype and memory layout.

    Returns:
        Shape ``[M, C]`` or ``[B, M, C]``, contiguous, in the dtype of ``x``.

    Raises:
        InputError: If ``adjacency`` is not a matrix, or ``x`` has another number of nodes than it
            has columns.
    """
    if adjacency.dim() != 2:
        raise InputError(
            "adjacency", list(adjacency.shape), "not a matrix", "Give one of shape [M, N]"
        )
    if x.dim() not in (2, 3) or x.size(-2) != adjacency.size(1):
        nodes = adjacency.size(1)
        raise InputError(
            "x",
            list(x.shape),
            f"the adjacency has {nodes} columns",
            f"Give features of shape [{nodes}, C] or [B, {nodes}, C]",
        )
    if needs_plain_torch():
        return adjacency.to(x.dtype) @ x
    batched = x if x.dim() == 3 else x.unsqueeze(0)
    out: Tensor = call("fusion_product", adjacency, batched)
    return out if x.dim() == 3 else out.squeeze(0)


def _product(adjacency: Tensor, x: Tensor) -> Tensor:
    if x.dtype == torch.float16 and x.device.type == "cpu":
        # Products in float16 are 20 times slower on a CPU than those in float32.
        return _product(adjacency, x.float()).half()
    out = x.new_empty(x.size(0), adjacency.size(0), x.size(2))
    # Autocast would choose another dtype, but for products into a tensor that is there.
    return torch.bmm(adjacency.to(x.dtype).expand(x.size(0), -1, -1), x, out=out)


def _product_backward(adjacency: Tensor, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    if x.dtype == torch.float16:
        grad_adjacency, grad_x = _product_backward(adjacency, x.float(), grad.float())
        return grad_adjacency, grad_x.half()
    # Some items at a time: the second product finds them in the cache.
    item = max(1, (x.size(1) + grad.size(1)) * x.size(2))
    step = max(torch.get_num_threads(), _PART // item)
    adjacency_t = adjacency.t().to(x.dtype).expand(step, -1, -1)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    grad_adjacency = torch.zeros(adjacency.shape, dtype=wide)
    grad_x = torch.empty(x.shape, dtype=x.dtype)
    parts = zip(x.split(step), grad.split(step), grad_x.split(step), strict=True)
    with torch.autocast("cpu", enabled=False):
        for some_x, some_grad, out in parts:
            grad_adjacency += _outer(some_grad, some_x, wide)
            torch.bmm(adjacency_t[: len(some_grad)], some_grad, out=out)
    return grad_adjacency.to(adjacency.dtype), grad_x


def _outer(grad: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    # With the smaller graph on the left: the other way round takes twice as long on a CPU.
    if grad.size(1) <= x.size(1):
        return torch.bmm(grad, x.transpose(1, 2)).sum(0, dtype=dtype)
    return torch.bmm(x, grad.transpose(1, 2)).sum(0, dtype=dtype).t()


def _has_kernel(adjacency: Tensor, x: Tensor) -> bool:
    narrow = 0 < min(adjacency.shape) <= _SHORT and x.numel() > 0
    return HAS_TRITON and narrow and x.dtype != torch.float64


def _cuda(adjacency: Tensor, x: Tensor) -> Tensor:
    if not _has_kernel(adjacency, x):
        return _product(adjacency, x)
    from bilayer_graph.ops._triton.fusion_product import fusion_product

    return fusion_product(adjacency, x)


def _cuda_backward(adjacency: Tensor, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    if not _has_kernel(adjacency, x):
        # One product over items and channels together: items apart would need [B, M, N].
        with torch.autocast("cuda", enabled=False):
            grad_adjacency = torch.einsum("bmc,bnc->mn", grad, x).to(adjacency.dtype)
        return grad_adjacency.contiguous(), _product(adjacency.t(), grad)
    from bilayer_graph.ops._triton.fusion_product import fusion_product_backward

    return fusion_product_backward(adjacency, x, grad)


def _fake(adjacency: Tensor, x: Tensor) -> Tensor:
    return x.new_empty(x.size(0), adjacency.size(0), x.size(2))


def _fake_backward(adjacency: Tensor, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    return adjacency.new_empty(adjacency.shape), x.new_empty(x.shape)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor]:
    adjacency, x = ctx.saved_tensors
    if not ctx.needs_input_grad[0]:
        return None, call("fusion_product", adjacency.t(), grad)
    to_adjacency, to_x = call("fusion_product_backward", adjacency, x, grad)
    return to_adjacency, to_x


def _backward_twice(
    ctx: Any, grad_adjacency: Tensor, grad_x: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    # The backward is bilinear as well, so that its gradients are the same two operations.
    adjacency, x, grad = ctx.saved_tensors
    to_adjacency, to_x = call("fusion_product_backward", grad_adjacency, grad_x, grad)
    to_grad = call("fusion_product", grad_adjacency, x) + call("fusion_product", adjacency, grad_x)
    return to_adjacency, to_x, to_grad


register(
    "fusion_product(Tensor adjacency, Tensor x) -> Tensor",
    cpu=_product,
    cuda=_cuda,
    fake=_fake,
    backward=_backward,
    save=_save,
)
register(
    "fusion_product_backward(Tensor adjacency, Tensor x, Tensor grad) -> (Tensor, Tensor)",
    cpu=_product_backward,
    cuda=_cuda_backward,
    fake=_fake_backward,
    backward=_backward_twice,
    save=_save,
)
