"""The library that the operations are registered in: ``torch.ops.bilayer_graph``."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from bilayer_graph.graphs.check import transformed

LIBRARY = torch.library.Library("bilayer_graph", "DEF")

_CPU: dict[str, Callable[..., Any]] = {}
"""What computes each operation on a CPU."""

HAS_TRITON = find_spec("triton") is not None
"""Whether the CUDA kernels can be built; without, CUDA tensors take the path in plain torch."""


def register(
    schema: str,
    cpu: Callable[..., Any],
    cuda: Callable[..., Any],
    fake: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    save: Callable[..., None] | None = None,
) -> None:
    """Register an operation.

    Args:
        schema: Its name, arguments and results, as ``torch.library`` writes them.
        cpu: What computes it on a CPU.
        cuda: What computes it on a GPU.
        fake: Shapes and dtypes of its results.
        backward: Its gradients, if it has any.
        save: What keeps the inputs that ``backward`` needs.
    """
    name = schema.partition("(")[0]
    _CPU[name] = cpu
    LIBRARY.define(schema)
    LIBRARY.impl(name, cpu, "CPU")
    LIBRARY.impl(name, cuda, "CUDA")
    torch.library.register_fake(f"bilayer_graph::{name}", fake, lib=LIBRARY)
    if backward is not None:
        torch.library.register_autograd(
            f"bilayer_graph::{name}", backward, setup_context=save, lib=LIBRARY
        )


def call(name: str, *args: Any) -> Any:
    """Call a registered operation, past the dispatcher where that has nothing to decide."""
    return _CPU[name](*args) if _is_plain(args) else getattr(torch.ops.bilayer_graph, name)(*args)


def _is_plain(args: tuple[Any, ...]) -> bool:
    """Return whether plain CPU tensors are computed with, and nobody watches or differentiates.

    The dispatcher takes 40 us a call in Python, as long as 12 joints take to be normalised thrice.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    # Under a mode, such as that of fake tensors, a tensor may be anything.
    if needs_plain_torch() or torch._C._len_torch_dispatch_stack():
        return False
    return all(_is_plain_tensor(each) for each in args if isinstance(each, Tensor))


def _is_plain_tensor(tensor: Tensor) -> bool:
    # Many upstream gradients at once come as one tensor of another kind.
    batched = torch._C._functorch.is_legacy_batchedtensor(tensor)
    differentiated = tensor.requires_grad and torch.is_grad_enabled()
    known = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.is_cpu
    return known and not (batched or differentiated)


def needs_plain_torch() -> bool:
    """Return whether operations have to be made of torch's own.

    The ONNX export, ``torch.func`` and forward-mode derivatives know no others; the last would take
    the derivative of one of ours for 0.
    """
    return torch.onnx.is_in_onnx_export() or transformed()


def widen(x: Tensor) -> Tensor:
    """Return a floating-point tensor in float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def own(tensor: Tensor, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """Return a fresh result in a shape: autograd lets nobody change a view in place."""
    out: Tensor = torch.ops.aten._unsafe_view(tensor.reshape(shape), shape)
    return out
