"""Sums in the memory of a result that nobody else has seen."""

import torch
from torch import Tensor
from torch.nn.modules import module as modules

from bilayer_graph.ops.library import needs_plain_torch


def accumulate(out: Tensor, other: Tensor, *makers: torch.nn.Module) -> Tensor:
    """Return ``out + other``, in the memory of ``out`` where that is nobody else's.

    New memory of a long result takes as long as the sum: its pages are mapped and cleared first.

    Args:
        out: A result that was just computed.
        other: What to add, of its shape or of that of its last dimensions.
        makers: The modules that returned ``out``, whose hooks may have kept or wrapped it.
    """
    fits = out.dtype == other.dtype and out.shape[out.dim() - other.dim() :] == other.shape
    if not fits or needs_plain_torch() or any(map(_is_hooked, makers)):
        return out + other
    return out.add_(other)


def _is_hooked(module: torch.nn.Module) -> bool:
    own = module._forward_hooks or module._backward_hooks or module._backward_pre_hooks
    return bool(own or modules._has_any_global_hook())
