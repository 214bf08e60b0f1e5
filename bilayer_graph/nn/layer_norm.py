"""LayerNorm for node features."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter


class LayerNorm(torch.nn.Module):
    r"""Normalisation of the channels of each node on its own, with an optional ReLU.

    .. math:: y = \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) + \epsilon}} \, w + b

    A node's output depends on that node only, so a graph of few nodes keeps the differences between
    graphs that GroupNorm's statistics over all nodes take away.

    Args:
        channels: Number of channels :math:`C`.
        eps: Added to the variance.
        relu: Whether a ReLU follows.

    Shapes:
        - x: ``[.., C]``
        - batch, batch_size: accepted as :class:`~bilayer_graph.nn.GroupNorm` does, and not needed
        - output: as ``x``

    Source: Ba, Kiros, Hinton, "Layer Normalization", 2016.
    """

    def __init__(self, channels: int, eps: float = 1e-5, relu: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.eps = eps
        self.relu = relu
        self.weight = torch.nn.Parameter(torch.empty(channels))
        self.bias = torch.nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset to the plain normalisation: weight 1, bias 0."""
        torch.nn.init.ones_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def forward(
        self, x: Tensor, batch: Tensor | None = None, batch_size: int | None = None
    ) -> Tensor:
        """Return the normalised features."""
        out = F.layer_norm(x, (self.channels,), self.weight, self.bias, self.eps)
        return out.relu() if self.relu else out

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}{', relu=True' if self.relu else ''})"


class LazyLayerNorm(LazyModuleMixin, LayerNorm):
    """A :class:`LayerNorm` that takes its number of channels from the first input.

    Args:
        eps: Added to the variance.
        relu: Whether a ReLU follows.
    """

    cls_to_become = LayerNorm
    weight: UninitializedParameter  # type: ignore[assignment]
    bias: UninitializedParameter  # type: ignore[assignment]

    def __init__(self, eps: float = 1e-5, relu: bool = False) -> None:
        super().__init__(1, eps, relu)
        self.channels = -1
        self.weight, self.bias = UninitializedParameter(), UninitializedParameter()

    def reset_parameters(self) -> None:
        """Reset to the plain normalisation, if the number of channels is known."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, x: Tensor, *_: Any, **__: Any) -> None:
        """Make the parameters for the channels of the first input."""
        self.channels = x.size(-1)
        if self.has_uninitialized_params():
            self.weight.materialize((self.channels,))
            self.bias.materialize((self.channels,))
            self.reset_parameters()
