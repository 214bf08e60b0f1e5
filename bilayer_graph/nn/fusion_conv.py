"""The fusion convolution: features cross between two graphs over learnable edges."""

from typing import Literal

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import Adj, OptPairTensor, OptTensor

from bilayer_graph.errors import InputError
from bilayer_graph.nn.edges import edge_list
from bilayer_graph.nn.fusion_edges import Direction, FusionEdges, place, restack
from bilayer_graph.nn.linear import Linear
from bilayer_graph.ops import SparseMatrix, fusion_product, row_norm, row_softmax, spmm


class FusionConv(MessagePassing):
    r"""The fusion convolution :math:`X' = A_f X W + b` over learnable edges between two graphs.

    .. math:: A_f = \mathrm{RowNorm}(A_{fs} \odot W_f)

    The prior :math:`A_{fs}` is fixed, and 0 where there is no edge; :math:`W_f` has one learnable
    weight an edge, all 1 at the start. As any PyG layer for two node sets it takes a pair of
    features and returns those of the second graph; a ``bidirectional`` layer is the paper's: over
    the nodes of both graphs together, it returns the pair.

    Args:
        in_channels: Size of each input feature, a pair where the two graphs differ, or -1 to take
            it from the first input. With a pair, a bidirectional layer has one :math:`W` a graph.
        out_channels: Size of each output feature.
        edge_index: Edges from the first to the second graph, ``[2, E]``, also an ``EdgeIndex``, or
            a sparse adjacency with the nodes of the second graph as rows.
        edge_weight: The prior :math:`A_{fs}` of each edge, ``[E]``; ones if ``None``.
        size: Number of nodes of the first and of the second graph; by default what ``edge_index``
            says, or else its largest indices plus one.
        bidirectional: Whether features also cross from the second to the first graph, over the
            same edges with weights of their own.
        combine: ``"mul"`` for :math:`A_{fs} \odot W_f`, ``"add"`` for :math:`A_{fs} + W_f` with
            :math:`W_f` starting at 0.
        normalize: ``"row"`` (:func:`~bilayer_graph.ops.row_norm`), ``"softmax"`` over each row, or
            ``None``.
        bias: Whether to add :math:`b`.

    Shapes:
        - x: a pair ``([N_s, C_in], [N_t, C_in])`` or ``([B, N_s, C_in], [B, N_t, C_in])``, for a
          disjoint union of K graphs ``([K * N_s, C_in], [K * N_t, C_in])``; one tensor if the two
          graphs are the same; the second may be ``None`` unless the layer is bidirectional
        - edge_index, edge_weight: the layer's own edges and their prior, repeated for each of the K
          graphs, as a ``HeteroData`` or a ``Batch`` hands them over; either may be ``None``
        - output: that of the second graph, ``[.., N_t, C_out]``, or the pair

    Raises:
        InputError: If the edges, the prior, an option or the features do not fit.

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
        bidirectional: bool = False,
        combine: Literal["mul", "add"] = "mul",
        normalize: Literal["row", "softmax"] | None = "row",
        bias: bool = True,
    ) -> None:
        super().__init__(aggr="add", node_dim=-2)
        if combine not in ("mul", "add"):
            raise InputError("combine", combine, "not a way to combine", "Give 'mul' or 'add'")
        if normalize not in ("row", "softmax", None):
            raise InputError(
                "normalize", normalize, "not a normalisation", "Give 'row', 'softmax' or None"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.bidirectional = bidirectional
        self.combine = combine
        self.normalize = normalize
        edges, prior, known_size = edge_list(edge_index, edge_weight)
        self.edges = FusionEdges(edges, prior, size or known_size)
        self.size = self.edges.size
        first, second = in_channels if isinstance(in_channels, tuple) else (in_channels, None)
        self.lin = Linear(first, out_channels, bias=False, weight_initializer="glorot")
        self.lin_second: Linear | None = None
        if bidirectional and second is not None:
            self.lin_second = Linear(second, out_channels, bias=False, weight_initializer="glorot")
        number = edges.size(1)
        self.edge_weight = torch.nn.Parameter(torch.empty((2, number) if bidirectional else number))
        if bias:
            self.bias = torch.nn.Parameter(torch.empty(out_channels))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the learnable parameters; the adjacency becomes the normalised prior again."""
        super().reset_parameters()
        self.lin.reset_parameters()
        if self.lin_second is not None:
            self.lin_second.reset_parameters()
        torch.nn.init.constant_(self.edge_weight, 1.0 if self.combine == "mul" else 0.0)
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    def adjacency(self) -> SparseMatrix | tuple[SparseMatrix, SparseMatrix]:
        """Return the current :math:`A_f` from the first to the second graph.

        Targets are rows, ``[N_t, N_s]``. A bidirectional layer returns the pair, with the way back,
        ``[N_s, N_t]``, as the second.
        """
        to_second = self._adjacency("forward")
        return (to_second, self._adjacency("backward")) if self.bidirectional else to_second

    def _adjacency(self, direction: Direction) -> SparseMatrix:
        matrix, order = self.edges.prior(direction)
        weight: Tensor = self.edge_weight
        if self.bidirectional:
            weight = weight.unbind()[0 if direction == "forward" else 1]
        # Each weight is taken once: the gradients that index_select adds up never meet.
        weight = weight.index_select(0, order)
        weight = matrix.value * weight if self.combine == "mul" else matrix.value + weight
        if self.normalize == "row":
            weight = row_norm(weight, matrix.rowptr)
        elif self.normalize == "softmax":
            weight = row_softmax(weight, matrix.rowptr)
        return matrix._replace(value=weight)

    def forward(
        self,
        x: Tensor | OptPairTensor,
        edge_index: Adj | None = None,
        edge_weight: OptTensor = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return :math:`A_f X W + b` for the nodes of the second graph, or of both."""
        pair = (x, x) if isinstance(x, Tensor) else x
        first, second = self.edges.unstack(pair)
        if self.bidirectional and second is None:
            remedy = "Give features of both graphs"
            raise InputError("x[1]", None, "features cross in both directions", remedy)
        copies = first.size(0) if pair[0].dim() < first.dim() else 1
        self.edges.check_call(edge_index, edge_weight, copies)
        if self.explain:
            return self._explained(pair, edge_index, copies)
        to_second = self._convolve(self._adjacency("forward"), first, self.lin)
        if not self.bidirectional:
            return restack(pair[0], to_second)
        lin_second = self.lin_second or self.lin
        to_first = self._convolve(self._adjacency("backward"), second, lin_second)
        return restack(pair[0], to_first), restack(pair[0], to_second)

    def _convolve(self, adjacency: SparseMatrix, x: Tensor, lin: Linear) -> Tensor:
        num_targets, num_sources = adjacency.shape
        # W goes to the side with fewer nodes.
        if num_sources > num_targets:
            out = lin(self.message_and_aggregate(adjacency, x))
        elif _is_complete(adjacency) and self.bias is not None:
            return _affine_product(_dense(adjacency), lin(x), self.bias)
        else:
            out = self.message_and_aggregate(adjacency, lin(x))
        return self._add_bias(out)

    def _add_bias(self, out: Tensor) -> Tensor:
        return out if self.bias is None else out + self.bias.to(out.dtype)

    def _explained(
        self, x: OptPairTensor, edge_index: Adj | None, copies: int
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return what :meth:`forward` does by messages, which PyG's explainers mask."""
        edges, position = self.edges.locate(edge_index, copies)

        def convolve(direction: Direction, x: Tensor, lin: Linear, ends: Tensor) -> Tensor:
            adjacency = self._adjacency(direction)
            weight = place(adjacency.value, self.edges.prior(direction)[1])
            weight = place(weight.repeat(copies), position)
            num_targets, num_sources = (copies * number for number in adjacency.shape)
            out = self.propagate(
                ends, x=(lin(x), None), edge_weight=weight, size=(num_sources, num_targets)
            )
            return self._add_bias(out)

        to_second = convolve("forward", x[0], self.lin, edges)
        if not self.bidirectional:
            return to_second
        return convolve("backward", x[1], self.lin_second or self.lin, edges.flip(0)), to_second

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """Return the neighbour's features times the weight of the edge."""
        return edge_weight.unsqueeze(-1) * x_j

    def message_and_aggregate(self, adjacency: SparseMatrix, x: Tensor) -> Tensor:
        """Return :math:`A_f X`; a complete bipartite graph is a dense matrix."""
        if _is_complete(adjacency):
            return fusion_product(_dense(adjacency), x)
        return spmm(adjacency, x)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"size={self.size}, edges={self.edge_weight.size(-1)})"
        )


def _is_complete(matrix: SparseMatrix) -> bool:
    return matrix.value.numel() == matrix.shape[0] * matrix.shape[1]


def _dense(matrix: SparseMatrix) -> Tensor:
    return matrix.value.view(matrix.shape)


def _affine_product(adjacency: Tensor, x: Tensor, bias: Tensor) -> Tensor:
    # The bias comes as one more source: to add it later reads and writes the long output again.
    ones = adjacency.new_ones(adjacency.size(0), 1)
    row = bias.to(x.dtype).expand(*x.shape[:-2], 1, -1)
    return fusion_product(torch.cat([adjacency, ones], dim=1), torch.cat([x, row], dim=-2))
