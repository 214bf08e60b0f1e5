"""GroupNorm for node features."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.batch import check_batch
from bilayer_graph.ops import group_norm, segment_group_norm

CHANNELS_PER_GROUP = 8


class GroupNorm(torch.nn.Module):
    r"""Normalisation of groups of 8 channels over the nodes of each graph.

    .. math:: y = \gamma \, (x - \mu_{bg}) / \sqrt{\sigma^2_{bg} + \epsilon} + \beta

    with the mean and the variance over all nodes of graph :math:`b` and all channels of group
    :math:`g`; see :func:`~bilayer_graph.ops.group_norm`.

    Args:
        channels: Number of channels :math:`C`, a multiple of 8.
        eps: Added to the variance.
        relu: Whether a ReLU follows, which costs less here than as a layer of its own.

    Shapes:
        - x: ``[N, C]`` (one graph) or ``[B, N, C]`` (a batch over one topology)
        - batch: ``[N]``, the graph of each node, for a disjoint union ``[N, C]`` of graphs
        - batch_size: the number of graphs in ``batch``, its largest plus one if ``None``
        - output: as ``x``

    Raises:
        InputError: If ``channels`` is no such multiple, or the features or ``batch`` do not fit.

    Source: Wu and He, "Group Normalization", 2018; 8 channels a group as in GraphCMR.
    """

    def __init__(self, channels: int, eps: float = 1e-5, relu: bool = False) -> None:
        super().__init__()
        self.channels = check_channels("channels", channels)
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
        groups = self.channels // CHANNELS_PER_GROUP
        options = (groups, self.weight, self.bias, self.eps, self.relu)
        if batch is None:
            return group_norm(x, *options)
        check_batch("batch", batch, x.size(0))
        number = _count_graphs(batch) if batch_size is None else batch_size
        return segment_group_norm(x, batch, number, *options)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}{', relu=True' if self.relu else ''})"


class LazyGroupNorm(LazyModuleMixin, GroupNorm):
    """A :class:`GroupNorm` that takes its number of channels from the first input.

    Args:
        eps: Added to the variance.
        relu: Whether a ReLU follows.
    """

    cls_to_become = GroupNorm
    weight: UninitializedParameter  # type: ignore[assignment]
    bias: UninitializedParameter  # type: ignore[assignment]

    def __init__(self, eps: float = 1e-5, relu: bool = False) -> None:
        super().__init__(CHANNELS_PER_GROUP, eps, relu)
        self.channels = -1
        self.weight, self.bias = UninitializedParameter(), UninitializedParameter()

    def reset_parameters(self) -> None:
        """Reset to the plain normalisation, if the number of channels is known."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, x: Tensor, *_: Any, **__: Any) -> None:
        """Make the parameters for the channels of the first input."""
        self.channels = check_channels("channels", x.size(-1))
        if self.has_uninitialized_params():
            self.weight.materialize((self.channels,))
            self.bias.materialize((self.channels,))
            self.reset_parameters()


def _count_graphs(batch: Tensor) -> int:
    return int(batch.max()) + 1 if batch.numel() else 0


def check_channels(name: str, channels: int, multiple: int = CHANNELS_PER_GROUP) -> int:
    """Return a number of channels; raise :class:`InputError` unless it is a positive multiple."""
    if channels < 1 or channels % multiple:
        remedy = f"Give {multiple}, {2 * multiple}, {3 * multiple} or so on"
        raise InputError(name, channels, f"not a multiple of {multiple}", remedy)
    return channels
