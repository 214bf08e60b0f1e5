"""The library that the operations are registered in: ``torch.ops.bilayer_graph``."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from bilayer_graph.graphs.check import transformed

LIBRARY = torch.library.Library("bilayer_graph", "DEF")

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
    LIBRARY.define(schema)
    LIBRARY.impl(name, cpu, "CPU")
    LIBRARY.impl(name, cuda, "CUDA")
    torch.library.register_fake(f"bilayer_graph::{name}", fake, lib=LIBRARY)
    if backward is not None:
        torch.library.register_autograd(
            f"bilayer_graph::{name}", backward, setup_context=save, lib=LIBRARY
        )


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
