"""What the blocks share: linear layers around a convolution, a norm and ReLU before each."""

import torch
from torch import Tensor
from torch_geometric.typing import OptTensor

from bilayer_graph.errors import InputError
from bilayer_graph.nn.group_norm import CHANNELS_PER_GROUP, GroupNorm, LazyGroupNorm
from bilayer_graph.nn.layer_norm import LayerNorm, LazyLayerNorm
from bilayer_graph.nn.linear import Linear
from bilayer_graph.nn.node_norm import check_channels

NORMS = ("group", "layer")
"""Normalisations of the blocks: GroupNorm over the nodes of a graph (the paper's), or LayerNorm."""


class Bottleneck(torch.nn.Module):
    """Graph-linear layers that halve the channels before a convolution and double them after it.

    Args:
        in_channels: Size of each input feature, a multiple of 8, or -1 to take it from the first
            input.
        out_channels: Size of each output feature, a multiple of 16.
        conv: The convolution, of ``out_channels // 2`` channels.
        norm: One of :data:`NORMS`.

    Raises:
        InputError: If the numbers of channels are no such multiples, or there is no such norm.
    """

    def __init__(
        self, in_channels: int, out_channels: int, conv: torch.nn.Module, norm: str = "group"
    ) -> None:
        super().__init__()
        width = check_channels("out_channels", out_channels, 2 * CHANNELS_PER_GROUP) // 2
        self.in_channels: int | tuple[int, int] = in_channels
        self.out_channels = out_channels
        self.norm_in = make_norm(in_channels, norm)
        self.lin_in = Linear(in_channels, width)
        self.norm_conv = make_norm(width, norm)
        self.conv = conv
        self.norm_out = make_norm(width, norm)
        self.lin_out = Linear(width, out_channels)

    def reset_parameters(self) -> None:
        """Reset the learnable parameters."""
        for module in self.children():
            if not isinstance(module, torch.nn.Identity):
                module.reset_parameters()  # type: ignore[operator]

    def narrow(self, x: Tensor, batch: OptTensor = None, batch_size: int | None = None) -> Tensor:
        """Return what the convolution takes."""
        x = self.lin_in(self.norm_in(x, batch, batch_size))
        x = self.norm_conv(x, batch, batch_size)
        return x

    def widen(self, x: Tensor, batch: OptTensor = None, batch_size: int | None = None) -> Tensor:
        """Return the block's output, given the convolution's."""
        x = self.lin_out(self.norm_out(x, batch, batch_size))
        return x

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels})"


def make_norm(channels: int, norm: str) -> torch.nn.Module:
    """Return a norm with ReLU by its name, lazy if the channels are -1.

    Args:
        channels: Number of channels, a multiple of 8, or -1.
        norm: One of :data:`NORMS`.

    Raises:
        InputError: If there is no such norm, or the channels are no such multiple.
    """
    if norm not in NORMS:
        raise InputError("norm", norm, "no such normalisation", f"Give one of {list(NORMS)}")
    lazy, eager = (LazyGroupNorm, GroupNorm) if norm == "group" else (LazyLayerNorm, LayerNorm)
    if channels == -1:
        return lazy(relu=True)
    return eager(check_channels("in_channels", channels, CHANNELS_PER_GROUP), relu=True)
