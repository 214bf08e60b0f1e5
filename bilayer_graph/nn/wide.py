"""What stays in float32 at least in a model of half precision: coordinates."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bilayer_graph.ops.library import widen

_HALF = (torch.float16, torch.bfloat16)


class WideBuffers(nn.Module):
    """A module whose own buffers stay in float32 at least.

    ``model.bfloat16()`` would round the coordinates of a body by up to 4 mm, and weights so that
    they no longer sum to 1. Parameters, and the modules within, change as usual.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in before.items():
            moved = self.get_buffer(name)
            if moved.dtype in _HALF and buffer.dtype not in _HALF:
                self._buffers[name] = buffer.to(moved.device)
        return self


class WideLinear(nn.Linear):
    """A linear layer that computes and returns float32 at least, whatever its weights are in.

    For coordinates, under autocast and in models of half precision: bfloat16 rounds a position by
    half a percent of the crop, and a joint by millimetres.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output."""
        weight, bias = widen(self.weight), None if self.bias is None else widen(self.bias)
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.to(weight.dtype), weight, bias)
