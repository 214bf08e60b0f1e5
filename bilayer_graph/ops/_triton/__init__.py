"""The CUDA kernels; nothing outside this folder imports triton."""

from typing import Any, NamedTuple

import torch
import triton.language as tl


class Build(NamedTuple):
    """One kernel the way its launcher calls it; a test compiles it on machines without a GPU.

    Each kernel file lists its own in ``BUILDS``.

    Attributes:
        kernel: The function under ``triton.jit``.
        signature: Type of each argument that is no constant, ``"*fp32:16"`` for a pointer (and
            ``"i32:16"`` for a number) that is a multiple of 16.
        constants: Value of each ``tl.constexpr``.
        num_warps: Warps a program.
    """

    kernel: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    num_warps: int


def accumulator(dtype: torch.dtype) -> tl.dtype:
    """Return what sums of a dtype are kept in: float32 at least."""
    return tl.float64 if dtype == torch.float64 else tl.float32
