"""The Bilayer-Graph block."""

import torch
from torch import Tensor
from torch_geometric.typing import Adj

from bilayer_graph.nn.fusion_conv import FusionConv
from bilayer_graph.nn.gcn_block import FusionBlock, GCNBlock
from bilayer_graph.ops import SparseMatrix


class BilayerBlock(torch.nn.Module):
    r"""A GCN block for each of two graphs, and a fusion block that links them.

    .. math::
        \Delta_s, \Delta_m &= \mathrm{fusion}(X_s, X_m) \\
        X_s' &= \mathrm{GCN}_s(X_s, A_s) + \Delta_s \\
        X_m' &= \mathrm{GCN}_m(X_m, A_m) + \Delta_m

    Args:
        channels: Size of each input and output feature, a multiple of 16.
        fusion: The fusion convolution, of ``channels // 2`` channels.

    Shapes:
        - x: a pair ``([N_s, C], [N_m, C])`` or ``([B, N_s, C], [B, N_m, C])``
        - edge_index: a pair of adjacencies, as :class:`~bilayer_graph.nn.GraphConv` takes them
        - output: as ``x``

    Source: Yu, van Baar, Chen, "Joint 3D Human Shape Recovery and Pose Estimation from a Single
    Image with Bilayer Graph", 3DV 2021.
    """

    def __init__(self, channels: int, fusion: FusionConv) -> None:
        super().__init__()
        self.channels = channels
        self.first = GCNBlock(channels, channels)
        self.second = GCNBlock(channels, channels)
        self.fusion = FusionBlock(channels, fusion)

    def reset_parameters(self) -> None:
        """Reset the learnable parameters."""
        for block in (self.first, self.second, self.fusion):
            block.reset_parameters()

    def forward(
        self,
        x: tuple[Tensor, Tensor],
        edge_index: tuple[Adj | SparseMatrix, Adj | SparseMatrix],
        edge_weight: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> tuple[Tensor, Tensor]:
        """Return the features of the first and of the second graph."""
        first, second = self.fusion(x)
        # In place: nothing else keeps a sum, and large new tensors are slow to come by.
        return (
            self.first(x[0], edge_index[0], edge_weight[0]).add_(first),
            self.second(x[1], edge_index[1], edge_weight[1]).add_(second),
        )

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}, fusion={self.fusion.conv})"
