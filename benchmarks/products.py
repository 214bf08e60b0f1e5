"""The matrix products inside a piece of code: their multiply-adds, and the time of nothing else."""

import timeit
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from bilayer_graph.ops import linear

aten = torch.ops.aten

Linear = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Product:
    """One call that multiplies and adds.

    Attributes:
        multiply_adds: Number of multiplications.
        function: The plain call that computes the same product; ``None`` for a sparse product,
            which is no part of the floor.
        arguments: Its arguments, with a tensor on the ``meta`` device for each tensor.
    """

    multiply_adds: int
    function: Callable[..., Any] | None
    arguments: tuple[Any, ...]


def record(run: Callable[[], object]) -> list[Product]:
    """Run a piece of code once and return its products; backward passes count if run inside."""
    recorder = _Recorder()
    recorder.products = []
    with recorder:
        run()
    return recorder.products


def multiply_adds(products: Iterable[Product]) -> int:
    """Return the number of multiply-adds, sparse products included."""
    return sum(product.multiply_adds for product in products)


def replay(products: Iterable[Product], device: torch.device) -> Callable[[], None]:
    """Return a function that computes the dense products and nothing else, on normal numbers.

    Equal operands are shared: what a product reads may still be in the cache, so this is a floor.
    """
    operands: dict[tuple[Any, ...], Tensor] = {}

    def operand(position: int, like: Tensor) -> Tensor:
        key = position, like.shape, like.stride(), like.dtype
        if key not in operands:
            operands[key] = _normal(like, device)
        return operands[key]

    calls = [
        (
            product.function,
            [
                operand(i, argument) if isinstance(argument, Tensor) else argument
                for i, argument in enumerate(product.arguments)
            ],
        )
        for product in products
    ]

    def run() -> None:
        for function, arguments in calls:
            if function is not None:
                function(*arguments)

    for number, (function, arguments) in enumerate(calls):
        if function is linear and device.type == "cpu":
            calls[number] = _fastest_linear(*arguments), arguments
    return run


def _fastest_linear(x: Tensor, weight: Tensor) -> Linear:
    """Return the faster library for a linear layer of these sizes on this processor."""
    if x.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return F.linear

    def onednn(x: Tensor, weight: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return out

    ways: tuple[Linear, ...] = F.linear, onednn
    return min(ways, key=lambda way: min(timeit.repeat(partial(way, x, weight), number=1)))


class _Recorder(TorchDispatchMode):
    products: list[Product]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.name().removesuffix(".default")
        if name in _PRODUCTS:
            self.products.extend(_PRODUCTS[name](*args))
        elif name.startswith("bilayer_graph::") and name not in _WITHOUT_PRODUCTS:
            raise NotImplementedError(f"nobody counts the multiply-adds of {name}")
        return out


def _normal(like: Tensor, device: torch.device) -> Tensor:
    # An expanded tensor has fewer numbers than elements.
    steps = zip(like.shape, like.stride(), strict=True)
    last = sum((size - 1) * stride for size, stride in steps)
    numbers = torch.randn(last + 1, dtype=like.dtype, device=device)
    return numbers.as_strided(like.shape, like.stride())


def _meta(*arguments: Any) -> tuple[Any, ...]:
    def shape(tensor: Tensor) -> Tensor:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")

    return tuple(tree_map_only(Tensor, shape, arguments))


def _matmul(left: Tensor, right: Tensor) -> list[Product]:
    # left is a matrix or, as right is, a batch of them.
    number = left.numel() * right.size(-1) * (right.size(0) if right.dim() > left.dim() else 1)
    return [Product(number, torch.matmul, _meta(left, right))]


def _convolution(x: Tensor, weight: Tensor, *rest: Any) -> list[Product]:
    out = aten.convolution.default(*_meta(x, weight, *rest))
    number = out.numel() * weight[0].numel()
    return [Product(number, aten.convolution.default, _meta(x, weight, *rest))]


def _convolution_backward(grad: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> list[Product]:
    number = grad.numel() * weight[0].numel() * sum(rest[-1][:2])
    arguments = _meta(grad, x, weight, *rest)
    return [Product(number, aten.convolution_backward.default, arguments)]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> list[Product]:
    # As it is: it chooses the faster of two libraries, and a floor has to be as fast.
    return [Product(x.numel() * weight.size(0), linear, _meta(x, weight))]


def _fusion(adjacency: Tensor, x: Tensor) -> list[Product]:
    return _matmul(adjacency.to(x.dtype), x)


def _fusion_backward(adjacency: Tensor, x: Tensor, grad: Tensor) -> list[Product]:
    return _fusion(adjacency.t(), grad) + _matmul(grad, x.transpose(1, 2))


def _spmm(*arguments: Tensor) -> list[Product]:
    value, x = arguments[2], arguments[-1]
    return [Product(value.numel() * x.size(0) * x.size(2), None, ())]


_PRODUCTS: dict[str, Callable[..., list[Product]]] = {
    "aten::mm": _matmul,
    "aten::bmm": _matmul,
    "aten::addmm": lambda bias, left, right: _matmul(left, right),
    "aten::baddbmm": lambda bias, left, right: _matmul(left, right),
    "aten::convolution": _convolution,
    "aten::convolution_backward": _convolution_backward,
    "bilayer_graph::linear": _linear,
    "bilayer_graph::fusion_product": _fusion,
    "bilayer_graph::fusion_product_backward": _fusion_backward,
    "bilayer_graph::spmm": _spmm,
    "bilayer_graph::sddmm": _spmm,
}

_WITHOUT_PRODUCTS = {
    "bilayer_graph::group_norm",
    "bilayer_graph::group_norm_backward",
    "bilayer_graph::row_norm",
    "bilayer_graph::row_norm_backward",
    "bilayer_graph::row_softmax",
    "bilayer_graph::row_softmax_backward",
}
"""Operations of the package that count for nothing beside a matrix product."""
