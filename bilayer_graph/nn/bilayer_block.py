"""The Bilayer-Graph block."""

from bilayer_graph.nn.bidirectional_fusion_conv import BidirectionalFusionConv
from bilayer_graph.nn.multilayer_block import MultilayerBlock


class BilayerBlock(MultilayerBlock):
    r"""A GCN block for each of two graphs, and a fusion block that links them.

    .. math::
        \Delta_s, \Delta_m &= \mathrm{fusion}(X_s, X_m) \\
        X_s' &= \mathrm{GCN}_s(X_s, A_s) + \Delta_s \\
        X_m' &= \mathrm{GCN}_m(X_m, A_m) + \Delta_m

    Args:
        in_channels: Size of each input feature, a multiple of 8, a pair where the two graphs
            differ, or -1 to take it from the first input.
        out_channels: Size of each output feature, a multiple of 16.
        fusion: The fusion convolution, of ``out_channels // 2`` channels.
        norm: ``"group"`` (the paper's) or ``"layer"``, over the channels of each node.
        checkpoint: Whether a training step keeps the block's input only and computes what lies
            within again in the backward pass: a third of the memory, a third more time.

    Shapes:
        - x: a pair ``([N_s, C], [N_m, C])`` or ``([B, N_s, C], [B, N_m, C])``, or
          ``([K * N_s, C], [K * N_m, C])`` for a disjoint union of K copies
        - edge_index, edge_weight: a pair, as :class:`~bilayer_graph.nn.GraphConv`
        - output: as ``x``

    Raises:
        InputError: If the fusion convolution or the inputs do not fit.

    Source: Yu, van Baar, Chen, "Joint 3D Human Shape Recovery and Pose Estimation from a Single
    Image with Bilayer Graph", 3DV 2021.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        fusion: BidirectionalFusionConv,
        norm: str = "group",
        checkpoint: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, [fusion], norm, checkpoint)

    def __repr__(self) -> str:
        fusion = self.fusions[0].conv
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, {fusion})"
