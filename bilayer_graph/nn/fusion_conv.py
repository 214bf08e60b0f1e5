"""The fusion convolution: features cross between two graphs over learnable edges."""

from torch import Tensor
from torch_geometric.typing import Adj, OptPairTensor, OptTensor

from bilayer_graph.nn.copies import restack
from bilayer_graph.nn.edge_copies import place
from bilayer_graph.nn.fusion_edges import FusionEdges
from bilayer_graph.nn.fusion_layer import Combine, FusionLayer, Normalize
from bilayer_graph.ops import SparseMatrix


class FusionConv(FusionLayer):
    r"""The fusion convolution :math:`X_t' = A_f X_s W + b` over learnable edges between two graphs.

    .. math:: A_f = \mathrm{RowNorm}(A_{fs} \odot W_f)

    The prior :math:`A_{fs}` is fixed, and 0 where there is no edge; :math:`W_f` has one learnable
    weight an edge, all 1 at the start. As any PyG layer for two node sets it takes a pair of
    features and returns those of the second graph. The paper's layer, which returns both, is
    :class:`~bilayer_graph.nn.BidirectionalFusionConv`.

    Args:
        in_channels: Size of each input feature, or -1 to take it from the first input; of a pair,
            that of the first graph counts.
        out_channels: Size of each output feature.
        edge_index: Edges from the first to the second graph, ``[2, E]``, as a tensor or an
            ``EdgeIndex``, or a sparse adjacency with the nodes of the second graph as rows.
        edge_weight: The prior :math:`A_{fs}` of each edge, ``[E]``; ones if ``None``.
        size: Number of nodes of the first and of the second graph; by default what ``edge_index``
            says, or else its largest indices plus one.
        combine: ``"mul"`` for :math:`A_{fs} \odot W_f`, ``"add"`` for :math:`A_{fs} + W_f` with
            :math:`W_f` starting at 0.
        normalize: ``"row"`` (:func:`~bilayer_graph.ops.row_norm`), ``"softmax"`` over each row, or
            ``None``.
        bias: Whether to add :math:`b`.

    Attributes:
        edge_weight: :math:`W_f`, ``[E]``, in the order of ``adjacency().edge_index``: by target,
            then by source. The order that the edges came in does not matter.

    Shapes:
        - x: a pair ``([N_s, C_in], [N_t, C])`` or ``([B, N_s, C_in], [B, N_t, C])``, for a
          disjoint union of K graphs ``([K * N_s, C_in], [K * N_t, C])``; one tensor if the two
          graphs are the same; the second, of which only the shape counts, may be ``None``
        - edge_index, edge_weight: the layer's own edges and their prior, repeated for each of the K
          graphs, as a ``HeteroData`` or a ``Batch`` hands them over; either may be ``None``;
          without edges the prior is in the order of the layer's own
        - output: that of the second graph, ``[.., N_t, C_out]``

    Raises:
        InputError: If the edges, the prior, an option or the features do not fit; also if a state
            dict was learned on other edges.

    Source: Yu, van Baar, Chen, "Joint 3D Human Shape Recovery and Pose Estimation from a Single
    Image with Bilayer Graph", 3DV 2021.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        edge_index: Adj,
        edge_weight: OptTensor = None,
        *,
        size: tuple[int, int] | None = None,
        combine: Combine = "mul",
        normalize: Normalize | None = "row",
        bias: bool = True,
    ) -> None:
        first = in_channels[0] if isinstance(in_channels, tuple) else in_channels
        edges = FusionEdges(edge_index, edge_weight, size)
        super().__init__(first, out_channels, edges, (), combine, normalize, bias)
        self.in_channels = in_channels
        self.reset_parameters()

    def adjacency(self) -> SparseMatrix:
        """Return the current :math:`A_f`, targets as rows, ``[N_t, N_s]``."""
        return self.normalized(self.weigh(self.edge_weight))

    def strength(self) -> Tensor:
        """Return the absolute value of each edge in :math:`A_f`, ``[E]``."""
        return self.adjacency().value.abs()

    def forward(
        self,
        x: Tensor | OptPairTensor,
        edge_index: Adj | None = None,
        edge_weight: OptTensor = None,
    ) -> Tensor:
        """Return :math:`A_f X_s W + b` for the nodes of the second graph."""
        pair = (x, x) if isinstance(x, Tensor) else x
        first, _ = self.edges.unstack(pair)
        copies = first.size(0) if pair[0].dim() < first.dim() else 1
        self.edges.check_call(edge_index, edge_weight, copies)
        if self.explain:
            return self._explained(pair[0], edge_index, copies)
        return restack(pair[0], self.convolve(self.adjacency(), first, self.lin))

    def _explained(self, x: Tensor, edge_index: Adj | None, copies: int) -> Tensor:
        edges, position = self.edges.locate(edge_index, copies)
        weight = place(self.adjacency().value.repeat(copies), position)
        size = copies * self.size[0], copies * self.size[1]
        return self.convolve_by_messages(edges, weight, x, self.lin, size)
