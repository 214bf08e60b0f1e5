"""The 1-euro filter: steady where little moves, quick where much does."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bilayer_graph.body import axis_angle_to_matrix, matrix_to_axis_angle

# Cutoff of the filter of the speed, in Hz.
_SPEED_CUTOFF = 1.0


class OneEuro:
    r"""A filter of a signal as it comes, at whatever times (Casiez, Roussel and Vogel, CHI 2012).

    .. math::
        \hat x_i = \hat x_{i-1} + \alpha(f_c) (x_i - \hat x_{i-1}), \quad
        \alpha(f) = \frac{1}{1 + 1 / (2 \pi f \Delta t)}, \quad f_c = f_{min} + \beta |v|

    with the speed :math:`v` itself filtered with a cutoff of 1 Hz.

    Args:
        cutoff: :math:`f_{min}` in Hz: the lower, the steadier at rest.
        beta: How much the speed raises the cutoff: the higher, the less it lags behind.
        rotations: Whether the signal is ``[..., 3, 3]`` rotations, filtered along geodesics, the
            speed in radians a second; else vectors ``[..., D]``, each with a speed of its own.
    """

    def __init__(self, cutoff: float, beta: float, rotations: bool = False) -> None:
        self.cutoff = cutoff
        self.beta = beta
        self._minus: Callable[[Tensor, Tensor], Tensor] = _turn_between if rotations else torch.sub
        self._plus: Callable[[Tensor, Tensor], Tensor] = _turned if rotations else torch.add
        self._value: Tensor | None = None
        self._speed: Tensor | None = None
        self._time = math.nan

    def __call__(self, value: Tensor, time: float) -> Tensor:
        """Return the filtered value at a time in seconds, later than that of the last call."""
        if self._value is None:
            self._value, self._time = value, time
            return value
        step = time - self._time
        change = self._minus(value, self._value)
        speed = change / step
        if self._speed is not None:
            speed = torch.lerp(self._speed, speed, _share(torch.tensor(_SPEED_CUTOFF), step))
        cutoff = self.cutoff + self.beta * speed.norm(dim=-1, keepdim=True)
        self._value = self._plus(self._value, _share(cutoff, step) * change)
        self._speed, self._time = speed, time
        return self._value


def _share(cutoff: Tensor, step: float) -> Tensor:
    """Return the share of a new value that passes."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))


def _turn_between(new: Tensor, old: Tensor) -> Tensor:
    return matrix_to_axis_angle(old.mT @ new)


def _turned(old: Tensor, turn: Tensor) -> Tensor:
    return old @ axis_angle_to_matrix(turn)
