"""GroupNorm for node features."""

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops import group_norm

CHANNELS_PER_GROUP = 8


class GroupNorm(torch.nn.Module):
    r"""Normalise groups of 8 channels over the nodes of each graph; see :func:`ops.group_norm`.

    Args:
        channels: Number of channels :math:`C`, a multiple of 8.
        eps: Added to the variance.
        relu: Whether a ReLU follows, which costs less here than as a layer of its own.

    Shapes:
        - input: ``[N, C]`` (one graph) or ``[B, N, C]`` (a batch over one topology)
        - output: as the input

    Source: Wu and He, "Group Normalization", 2018; 8 channels a group as in GraphCMR.
    """

    def __init__(self, channels: int, eps: float = 1e-5, relu: bool = False) -> None:
        super().__init__()
        if channels < 1 or channels % CHANNELS_PER_GROUP:
            raise InputError(
                "channels", channels, "not a multiple of 8", "Give a multiple of 8 channels"
            )
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

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features."""
        groups = self.channels // CHANNELS_PER_GROUP
        return group_norm(x, groups, self.weight, self.bias, self.eps, self.relu)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}{', relu=True' if self.relu else ''})"
