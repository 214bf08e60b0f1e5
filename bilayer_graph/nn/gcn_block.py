"""The residual blocks of graph convolutions."""

import torch
from torch import Tensor
from torch_geometric.typing import Adj, OptTensor

from bilayer_graph.nn.fusion_conv import FusionConv
from bilayer_graph.nn.graph_conv import GraphConv
from bilayer_graph.nn.group_norm import GroupNorm
from bilayer_graph.nn.linear import Linear
from bilayer_graph.ops import SparseMatrix


class _Bottleneck(torch.nn.Module):
    """What the two blocks share: graph-linear layers around a convolution, norms before each."""

    def __init__(self, in_channels: int, out_channels: int, conv: torch.nn.Module) -> None:
        super().__init__()
        width = out_channels // 2
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.norm_in = GroupNorm(in_channels, relu=True)
        self.lin_in = Linear(in_channels, width)
        self.norm_conv = GroupNorm(width, relu=True)
        self.conv = conv
        self.norm_out = GroupNorm(width, relu=True)
        self.lin_out = Linear(width, out_channels)

    def reset_parameters(self) -> None:
        """Reset the learnable parameters."""
        for module in self.children():
            module.reset_parameters()  # type: ignore[operator]

    def narrow(self, x: Tensor) -> Tensor:
        """Return what the convolution takes."""
        return self.norm_conv(self.lin_in(self.norm_in(x)))

    def widen(self, x: Tensor) -> Tensor:
        """Return the block's output, given the convolution's."""
        return self.lin_out(self.norm_out(x))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels})"


class GCNBlock(_Bottleneck):
    r"""A graph convolution between two graph-linear layers, with a residual.

    .. math:: X' = X + L_2(\mathrm{conv}(L_1(X), A))

    where each of the three steps is preceded by GroupNorm and ReLU, and the convolution works on
    half of the channels. If the numbers of channels differ, the residual is a linear layer.

    Args:
        in_channels: Size of each input feature, a multiple of 8.
        out_channels: Size of each output feature, a multiple of 16.

    Shapes:
        - x: ``[N, C_in]`` or ``[B, N, C_in]``
        - edge_index, edge_weight: as :class:`~bilayer_graph.nn.GraphConv`
        - output: ``[N, C_out]`` or ``[B, N, C_out]``
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, GraphConv(out_channels // 2, out_channels // 2))
        same = in_channels == out_channels
        self.skip = Linear(in_channels, out_channels) if not same else torch.nn.Identity()

    def reset_parameters(self) -> None:
        """Reset the learnable parameters."""
        for module in self.children():
            if not isinstance(module, torch.nn.Identity):
                module.reset_parameters()  # type: ignore[operator]

    def forward(
        self, x: Tensor, edge_index: Adj | SparseMatrix, edge_weight: OptTensor = None
    ) -> Tensor:
        """Return the block's output."""
        return self.skip(x) + self.widen(self.conv(self.narrow(x), edge_index, edge_weight))


class FusionBlock(_Bottleneck):
    r"""A fusion convolution between two graph-linear layers, which both graphs share.

    .. math:: \Delta_s, \Delta_m = L_2(\mathrm{fusion}(L_1(X_s), L_1(X_m)))

    with GroupNorm (over the nodes of each graph) and ReLU before each step. No residual: the
    branches that the output is added to carry the input already.

    Args:
        channels: Size of each input and output feature, a multiple of 16.
        conv: The fusion convolution, of ``channels // 2`` channels.

    Shapes:
        - input: a pair ``([N_s, C], [N_m, C])`` or ``([B, N_s, C], [B, N_m, C])``
        - output: as the input
    """

    def __init__(self, channels: int, conv: FusionConv) -> None:
        super().__init__(channels, channels, conv)

    def forward(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what to add to the features of the first and of the second graph."""
        first, second = self.conv((self.narrow(x[0]), self.narrow(x[1])))
        return self.widen(first), self.widen(second)
