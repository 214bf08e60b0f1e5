"""Group normalisation in C++ for CPUs, built on request; without it the operations are torch's."""

import ctypes
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bilayer_graph.errors import InputError

_SOURCE = Path(__file__).with_name("group_norm.cpp")
_MARCH = {"AVX512": ["-march=x86-64-v4"], "AVX2": ["-march=x86-64-v3"]}
"""Flags of the compiler by what torch finds in the processor."""

_library: ctypes.CDLL | None = None


def use_native(enabled: bool = True) -> None:
    """Normalise by C++ code from now on, which is built once on each machine.

    One loop does what takes torch five operations: twice as fast forward, three times backward. It
    takes a C++ compiler and ninja, and some seconds the first time. Features that are not float32
    on a CPU go torch's way as before.

    Args:
        enabled: Whether to use it; ``False`` goes back to torch's operations.

    Raises:
        InputError: If there is no compiler or no ninja, or the build fails.
    """
    global _library
    _library = _build() if enabled else None


@cache
def _build() -> ctypes.CDLL:
    from torch.utils import cpp_extension

    level = torch.backends.cpu.get_cpu_capability()
    # A home folder may be shared by machines of several kinds.
    name = "_".join(["bilayer_graph", level, *re.findall(r"\w+", torch.__version__)])
    try:
        path = cpp_extension.load(
            name.lower(),
            [str(_SOURCE)],
            extra_cflags=["-O3", "-fopenmp", *_MARCH.get(level, [])],
            extra_ldflags=["-fopenmp"],
            is_python_module=False,
        )
    except (RuntimeError, OSError, ImportError) as error:
        problem = f"cannot be built ({str(error).splitlines()[0]})"
        remedy = "Install a C++ compiler and ninja, or do without: torch's operations do the same"
        raise InputError("use_native", _SOURCE.name, problem, remedy) from error
    return ctypes.CDLL(path)


def serves(*tensors: Tensor) -> bool:
    """Return whether the C++ code is in use, and made for such tensors."""
    return _library is not None and all(
        each.dtype == torch.float32 and each.is_cpu and each.numel() > 0 for each in tensors
    )


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the normalised features ``[B, N, C]``, means and deviations ``[B, G, 1]``."""
    x = x.contiguous()
    out = torch.empty_like(x)
    mean, rstd = (x.new_empty(x.size(0), num_groups, 1) for _ in range(2))
    given = *_pointers(x, weight, bias), ctypes.c_float(eps), relu, *_sizes(x, num_groups)
    _function("group_norm")(*given, *_pointers(out, mean, rstd))
    return out, mean, rstd


def group_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of features, weight and bias."""
    grad, x = grad.contiguous(), x.contiguous()
    out = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
    given = *_pointers(grad, x, weight, bias, mean, rstd), relu, *_sizes(x, mean.size(1))
    _function("group_norm_backward")(*given, *_pointers(*out))
    return out


def _function(name: str) -> Callable[..., None]:
    function: Any = getattr(_library, name)
    function.restype = None
    return function  # type: ignore[no-any-return]


def _pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(each.data_ptr()) for each in tensors]


def _sizes(x: Tensor, num_groups: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(size) for size in (*x.shape, num_groups)]
