"""Random numbers that depend only on (seed, sample index, name): for whole batches at once."""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

# The constants of the splitmix64 generator, as signed 64-bit integers.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


class Draws:
    """A counter-based generator: a draw is a hash of the seed, the sample, a name and a counter.

    The samples of a batch share one call, yet none sees the others, and a new draw elsewhere leaves
    the existing ones as they are.

    Args:
        seed: Seed of the dataset.
        index: ``[B]`` int64 sample indices; draws live on its device.

    Shapes: every method returns ``[B, *shape]``.
    """

    def __init__(self, seed: int, index: Tensor) -> None:
        self.index = index
        self._key = _mix(_mix(torch.full_like(index, seed)) ^ index)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def device(self) -> torch.device:
        """Where the draws live."""
        return self.index.device

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw uniformly on [low, high), float32."""
        count = math.prod(shape)
        counter = torch.arange(count, device=self.device)
        stream = _mix(self._key ^ zlib.crc32(name.encode()))
        bits = _mix(stream.unsqueeze(1) + counter)
        unit = ((bits >> 40) & 0xFFFFFF).float() * 2.0**-24
        return (unit * (high - low) + low).view(len(self), *shape)

    def normal(self, name: str, *shape: int) -> Tensor:
        """Draw standard normals, cut at five standard deviations by the uniform draw's 24 bits."""
        # The largest sum would be rounded to 1, whose quantile is infinite.
        unit = (self.uniform(name, *shape) + 2.0**-25).clamp_max(1 - 2.0**-24)
        quantile: Tensor = torch.special.ndtri(unit)
        return quantile

    def chance(self, name: str, probability: float, *shape: int) -> Tensor:
        """Draw booleans, true with the given probability."""
        return self.uniform(name, *shape) < probability

    def integer(self, name: str, count: int, *shape: int) -> Tensor:
        """Draw uniformly from 0 .. count - 1, int64."""
        return (self.uniform(name, *shape) * count).long().clamp_max(count - 1)

    def weighted(self, name: str, weights: list[float], *shape: int) -> Tensor:
        """Draw from 0 .. len(weights) - 1 in proportion to the weights, int64."""
        edges = torch.tensor(weights, device=self.device).cumsum(0)
        unit = self.uniform(name, *shape)
        return torch.bucketize(unit, edges[:-1] / edges[-1], right=True)


def _mix(x: Tensor) -> Tensor:
    """Apply splitmix64's finalizer to int64; shifts are made logical by masking the sign bits."""
    x = x + _GOLDEN
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX_1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)
