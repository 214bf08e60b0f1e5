"""What the norms of node features share: a weight, a bias, a ReLU, a lazy twin."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter

from bilayer_graph.errors import InputError


class NodeNorm(torch.nn.Module):
    """The parameters of a norm over channels.

    Args:
        channels: Number of channels, a multiple of ``multiple``.
        eps: Added to the variance.
        relu: Whether a ReLU follows.

    Raises:
        InputError: If ``channels`` is no such multiple.
    """

    multiple = 1
    """What the number of channels is a multiple of."""

    def __init__(self, channels: int, eps: float = 1e-5, relu: bool = False) -> None:
        super().__init__()
        self.channels = check_channels("channels", channels, self.multiple)
        self.eps = eps
        self.relu = relu
        self.weight = torch.nn.Parameter(torch.empty(channels))
        self.bias = torch.nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset to the plain normalisation: weight 1, bias 0."""
        torch.nn.init.ones_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}{', relu=True' if self.relu else ''})"


class LazyNodeNorm(LazyModuleMixin, NodeNorm):
    """A norm that takes its number of channels from the first input.

    Args:
        eps: Added to the variance.
        relu: Whether a ReLU follows.
    """

    weight: UninitializedParameter  # type: ignore[assignment]
    bias: UninitializedParameter  # type: ignore[assignment]

    def __init__(self, eps: float = 1e-5, relu: bool = False) -> None:
        super().__init__(self.multiple, eps, relu)
        self.channels = -1
        self.weight, self.bias = UninitializedParameter(), UninitializedParameter()

    def reset_parameters(self) -> None:
        """Reset to the plain normalisation, if the number of channels is known."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, x: Tensor, *_: Any, **__: Any) -> None:
        """Make the parameters for the channels of the first input."""
        self.channels = check_channels("channels", x.size(-1), self.multiple)
        if self.has_uninitialized_params():
            self.weight.materialize((self.channels,))
            self.bias.materialize((self.channels,))
            self.reset_parameters()


def check_channels(name: str, channels: int, multiple: int) -> int:
    """Return a number of channels; raise :class:`InputError` unless it is a positive multiple."""
    if channels < 1 or channels % multiple:
        remedy = f"Give {multiple}, {2 * multiple}, {3 * multiple} or so on"
        raise InputError(name, channels, f"not a multiple of {multiple}", remedy)
    return channels
