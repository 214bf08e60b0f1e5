"""The fusion convolution between graph-linear layers."""

from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.nn.bidirectional_fusion_conv import BidirectionalFusionConv
from bilayer_graph.nn.bottleneck import Bottleneck, make_norm
from bilayer_graph.nn.copies import restack
from bilayer_graph.nn.linear import Linear


class FusionBlock(Bottleneck):
    r"""A fusion convolution between two graph-linear layers, which both graphs share.

    .. math:: \Delta_s, \Delta_m = L_2(\mathrm{fusion}(L_1(X_s), L_1(X_m)))

    with a norm and ReLU before each step. No residual: the
    branches that the output is added to carry the input already.

    Args:
        in_channels: Size of each input feature, a multiple of 8, or -1 to take it from the first
            input. With a pair, each graph has an :math:`L_1` of its own.
        out_channels: Size of each output feature, a multiple of 16.
        conv: The fusion convolution, of ``out_channels // 2`` channels.
        norm: ``"group"`` (over the nodes of each graph, the paper's) or ``"layer"``.

    Shapes:
        - x: a pair ``([N_s, C], [N_m, C])``, ``([B, N_s, C], [B, N_m, C])`` or, for a disjoint
          union of K graphs, ``([K * N_s, C], [K * N_m, C])``
        - output: as the input

    Raises:
        InputError: If ``conv`` does not fit.
    """

    conv: BidirectionalFusionConv

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        conv: BidirectionalFusionConv,
        norm: str = "group",
    ) -> None:
        _check(conv, out_channels // 2)
        first, second = in_channels if isinstance(in_channels, tuple) else (in_channels, None)
        super().__init__(first, out_channels, conv, norm)
        self.in_channels = in_channels
        self.norm_second = None if second is None else make_norm(second, norm)
        self.lin_second = None if second is None else Linear(second, out_channels // 2)

    def narrow_second(self, x: Tensor) -> Tensor:
        """Return what the convolution takes of the second graph."""
        if self.norm_second is None or self.lin_second is None:
            return self.narrow(x)
        x = self.norm_conv(self.lin_second(self.norm_second(x)))
        return x

    def forward(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what to add to the features of the first and of the second graph."""
        first, second = self.conv.edges.unstack(x)
        first, second = self.conv((self.narrow(first), self.narrow_second(second)))
        return restack(x[0], self.widen(first)), restack(x[1], self.widen(second))


def _check(conv: BidirectionalFusionConv, width: int) -> None:
    if not isinstance(conv, BidirectionalFusionConv):
        remedy = "Give a BidirectionalFusionConv"
        raise InputError("conv", conv, "features cross in one direction only", remedy)
    if conv.in_channels not in (width, -1) or conv.out_channels != width:
        remedy = f"Give one of {width} channels: BidirectionalFusionConv({width}, {width}, ...)"
        raise InputError("conv", conv, "not half of the block's channels", remedy)
