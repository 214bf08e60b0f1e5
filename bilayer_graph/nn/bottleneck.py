"""What the blocks share: linear layers around a convolution, GroupNorm and ReLU before each."""

import torch
from torch import Tensor
from torch_geometric.typing import OptTensor

from bilayer_graph.nn.group_norm import (
    CHANNELS_PER_GROUP,
    GroupNorm,
    LazyGroupNorm,
    check_channels,
)
from bilayer_graph.nn.linear import Linear


class Bottleneck(torch.nn.Module):
    """Graph-linear layers that halve the channels before a convolution and double them after it.

    Args:
        in_channels: Size of each input feature, a multiple of 8, or -1 to take it from the first
            input.
        out_channels: Size of each output feature, a multiple of 16.
        conv: The convolution, of ``out_channels // 2`` channels.

    Raises:
        InputError: If the numbers of channels are no such multiples.
    """

    def __init__(self, in_channels: int, out_channels: int, conv: torch.nn.Module) -> None:
        super().__init__()
        width = check_channels("out_channels", out_channels, 2 * CHANNELS_PER_GROUP) // 2
        self.in_channels: int | tuple[int, int] = in_channels
        self.out_channels = out_channels
        self.norm_in = first_norm(in_channels)
        self.lin_in = Linear(in_channels, width)
        self.norm_conv = GroupNorm(width, relu=True)
        self.conv = conv
        self.norm_out = GroupNorm(width, relu=True)
        self.lin_out = Linear(width, out_channels)

    def reset_parameters(self) -> None:
        """Reset the learnable parameters."""
        for module in self.children():
            if not isinstance(module, torch.nn.Identity):
                module.reset_parameters()  # type: ignore[operator]

    def narrow(self, x: Tensor, batch: OptTensor = None, batch_size: int | None = None) -> Tensor:
        """Return what the convolution takes."""
        x = self.lin_in(self.norm_in(x, batch, batch_size))
        return self.norm_conv(x, batch, batch_size)

    def widen(self, x: Tensor, batch: OptTensor = None, batch_size: int | None = None) -> Tensor:
        """Return the block's output, given the convolution's."""
        return self.lin_out(self.norm_out(x, batch, batch_size))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels})"


def first_norm(in_channels: int) -> GroupNorm:
    """Return the norm before the first linear layer, lazy if the channels are -1."""
    if in_channels == -1:
        return LazyGroupNorm(relu=True)
    return GroupNorm(check_channels("in_channels", in_channels), relu=True)
