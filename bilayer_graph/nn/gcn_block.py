"""The residual block of graph convolutions."""

import sys
import warnings

import torch
from torch import Tensor
from torch_geometric.typing import Adj, OptPairTensor, OptTensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import readable
from bilayer_graph.nn.accumulate import accumulate
from bilayer_graph.nn.adjacency import entries
from bilayer_graph.nn.bottleneck import Bottleneck
from bilayer_graph.nn.graph_conv import GraphConv
from bilayer_graph.nn.group_norm import GroupNorm
from bilayer_graph.nn.linear import Linear
from bilayer_graph.nn.unions import count_parts
from bilayer_graph.ops import SparseMatrix


class GCNBlock(Bottleneck):
    r"""A graph convolution between two graph-linear layers, with a residual.

    .. math:: X' = X + L_2(\mathrm{conv}(L_1(X), A))

    where each of the three steps is preceded by a norm and ReLU, and the convolution works on
    half of the channels. If the numbers of channels differ, the residual is a linear layer. Between
    two node sets the residual comes from the targets.

    Args:
        in_channels: Size of each input feature, a multiple of 8, or -1 to take it from the first
            input; a pair for source and target nodes.
        out_channels: Size of each output feature, a multiple of 16.
        norm: ``"group"`` (the paper's) or ``"layer"``, over the channels of each node.

    Shapes:
        - x: ``[N, C_in]`` or ``[B, N, C_in]``, or a pair for source and target nodes
        - edge_index, edge_weight: as :class:`~bilayer_graph.nn.GraphConv`
        - batch: ``[N]``, the graph of each node of a disjoint union; a pair where ``x`` is one
        - batch_size: the number of graphs in ``batch``, its largest plus one if ``None``; 1 without
          a ``batch`` says that ``x`` is one graph, though it may look like a union
        - output: ``[N, C_out]`` or ``[B, N, C_out]``

    Raises:
        InputError: If the numbers of channels do not fit, or the target nodes have no features.
    """

    def __init__(
        self, in_channels: int | tuple[int, int], out_channels: int, norm: str = "group"
    ) -> None:
        width = out_channels // 2
        source, target = in_channels if isinstance(in_channels, tuple) else (in_channels,) * 2
        super().__init__(source, out_channels, GraphConv(width, width), norm)
        self.in_channels = in_channels
        self.skip = Linear(target, out_channels) if target != out_channels else torch.nn.Identity()
        self._nodes_seen = 0

    def forward(
        self,
        x: Tensor | OptPairTensor,
        edge_index: Adj | SparseMatrix,
        edge_weight: OptTensor = None,
        batch: OptTensor | OptPairTensor = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Return the block's output."""
        source, target = (x, x) if isinstance(x, Tensor) else x
        if target is None:
            remedy = "Give features of the target nodes too"
            raise InputError("x[1]", None, "the residual comes from the targets", remedy)
        source_batch, target_batch = batch if isinstance(batch, tuple) else (batch, batch)
        narrow = self.narrow(source, source_batch, batch_size)
        out = self.conv((narrow, target), edge_index, edge_weight)
        if batch is None and batch_size is None and source is target:
            self._warn_of_union(source, edge_index)
        residual: Tensor = self.skip(target)
        return accumulate(self.widen(out, target_batch, batch_size), residual, self.lin_out)

    def _warn_of_union(self, x: Tensor, edges: Adj | SparseMatrix) -> None:
        """Warn, once, if graphs are normalised together."""
        if x.dim() != 2 or not isinstance(self.norm_in, GroupNorm) or not readable(x):
            return
        if x.size(0) <= self._nodes_seen:
            return
        self._nodes_seen = x.size(0)
        index = edges.edge_index if isinstance(edges, SparseMatrix) else entries(edges)[0].long()
        parts = count_parts(index, x.size(0))
        if parts > 1:
            self._nodes_seen = sys.maxsize
            warnings.warn(
                f"x={list(x.shape)}: its edges fall into {parts} parts, as those of a union of "
                "graphs do, and GroupNorm averages over all nodes. Give batch, the graph of each "
                "node, or batch_size=1 for one graph.",
                stacklevel=3,
            )
