"""Bilayer-Graph blocks over any number of graphs."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils import checkpoint as recompute
from torch_geometric.typing import Adj

from bilayer_graph.errors import InputError
from bilayer_graph.nn.accumulate import accumulate
from bilayer_graph.nn.bidirectional_fusion_conv import BidirectionalFusionConv
from bilayer_graph.nn.fusion_block import FusionBlock
from bilayer_graph.nn.gcn_block import GCNBlock
from bilayer_graph.ops import SparseMatrix


class MultilayerBlock(torch.nn.Module):
    r"""A GCN block for each of a stack of graphs, and a fusion block between neighbours.

    .. math::
        \Delta_l^+, \Delta_{l+1}^- &= \mathrm{fusion}_l(X_l, X_{l+1}) \\
        X_l' &= \mathrm{GCN}_l(X_l, A_l) + \Delta_l^- + \Delta_l^+

    The fusion blocks read the features from before the GCN blocks. With two graphs it is the
    paper's :class:`~bilayer_graph.nn.BilayerBlock`.

    Args:
        in_channels: Size of each input feature, a multiple of 8, one number for all graphs or one
            each, or -1 to take it from the first input.
        out_channels: Size of each output feature, a multiple of 16.
        fusions: The fusion convolutions between each graph and the next, of
            ``out_channels // 2`` channels.
        norm: ``"group"`` (the paper's) or ``"layer"``, over the channels of each node.
        checkpoint: Whether a training step keeps the block's input only and computes what lies
            within again in the backward pass: a third of the memory, a third more time.

    Shapes:
        - x: one tensor a graph, all ``[N_l, C]`` or ``[B, N_l, C]``, or ``[K * N_l, C]`` for a
          disjoint union of K copies
        - edge_index, edge_weight: one a graph, as :class:`~bilayer_graph.nn.GraphConv`
        - output: as ``x``

    Raises:
        InputError: If the fusion convolutions or the inputs are not those of one stack of graphs.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        fusions: Sequence[BidirectionalFusionConv],
        norm: str = "group",
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.checkpoint = checkpoint
        number = len(fusions) + 1
        shared = isinstance(in_channels, int)
        widths = [in_channels] * number if isinstance(in_channels, int) else list(in_channels)
        if len(widths) != number:
            remedy = "Give one number for all graphs, or one for each"
            raise InputError("in_channels", in_channels, f"there are {number} graphs", remedy)
        self.num_nodes = _check_stack(fusions)
        self.branches = torch.nn.ModuleList(GCNBlock(width, out_channels, norm) for width in widths)
        pairs: Sequence[Any] = [in_channels] * len(fusions) if shared else list(pairwise(widths))
        self.fusions = torch.nn.ModuleList(
            FusionBlock(pair, out_channels, conv, norm)
            for pair, conv in zip(pairs, fusions, strict=True)
        )

    def reset_parameters(self) -> None:
        """Reset the learnable parameters."""
        for block in (*self.branches, *self.fusions):
            block.reset_parameters()

    def forward(
        self,
        x: Sequence[Tensor],
        edge_index: Sequence[Adj | SparseMatrix],
        edge_weight: Sequence[Tensor | None] | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the new features of each graph."""
        number = len(self.branches)
        weights = edge_weight or [None] * number
        for name, value in (("x", x), ("edge_index", edge_index), ("edge_weight", weights)):
            if not isinstance(value, (tuple, list)) or len(value) != number:
                given = type(value).__name__
                given += f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
                remedy = "Give a tuple with one for each"
                raise InputError(name, given, f"there are {number} graphs", remedy)
        if self.checkpoint and torch.is_grad_enabled():
            options: Any = {"use_reentrant": False, "preserve_rng_state": False}
            return tuple(recompute.checkpoint(self._forward, x, edge_index, weights, **options))
        return self._forward(x, edge_index, weights)

    def _forward(
        self,
        x: Sequence[Tensor],
        edge_index: Sequence[Adj | SparseMatrix],
        weights: Sequence[Tensor | None],
    ) -> tuple[Tensor, ...]:
        fused = [block((x[i], x[i + 1])) for i, block in enumerate(self.fusions)]
        out = [
            block(x[i], edge_index[i], weights[i], *_union(x[i], self.num_nodes[i]))
            for i, block in enumerate(self.branches)
        ]
        for i, (first, second) in enumerate(fused):
            out[i] = accumulate(out[i], first, self.branches[i])
            out[i + 1] = accumulate(out[i + 1], second, self.branches[i + 1])
        return tuple(out)

    def __repr__(self) -> str:
        convs = [block.conv for block in self.fusions]
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, {convs})"


def _check_stack(fusions: Sequence[BidirectionalFusionConv]) -> list[int]:
    if not fusions:
        raise InputError("fusions", list(fusions), "one graph is no stack", "Give one or more")
    for i, (lower, upper) in enumerate(pairwise(fusions)):
        if lower.size[1] != upper.size[0]:
            ends, starts = (
                f"fusion {i} ends at {lower.size[1]}",
                f"the next starts at {upper.size[0]}",
            )
            remedy = "Give the fusions in the order of the graphs"
            sizes = [conv.size for conv in fusions]
            raise InputError("fusions", sizes, f"{ends} nodes, {starts}", remedy)
    return [fusions[0].size[0], *(conv.size[1] for conv in fusions)]


def _union(x: Tensor, num_nodes: int) -> tuple[Tensor | None, int]:
    """Return the graph of each node of a disjoint union, and the number of graphs."""
    if x.dim() == 3 or x.size(0) == num_nodes:
        return None, 1
    return torch.arange(x.size(0), device=x.device) // num_nodes, x.size(0) // num_nodes
