"""The paper's fusion convolution: over the nodes of both graphs together."""

import torch
from torch import Tensor
from torch_geometric.typing import Adj, OptTensor

from bilayer_graph.errors import InputError
from bilayer_graph.nn.copies import restack
from bilayer_graph.nn.fusion_edges import FusionEdges
from bilayer_graph.nn.fusion_layer import Combine, FusionLayer, Normalize
from bilayer_graph.nn.linear import Linear
from bilayer_graph.ops import SparseMatrix


class BidirectionalFusionConv(FusionLayer):
    r"""The paper's :math:`X' = A_f X W + b` over the nodes of two graphs together.

    .. math:: A_f = \mathrm{RowNorm}(A_{fs} \odot W_f)

    Features cross from the first to the second graph and back over the same edges, with one
    learnable weight an edge and direction, and with :math:`W` and :math:`b` in common. It is two
    :class:`~bilayer_graph.nn.FusionConv` that share what they can, and returns a pair, so that it
    goes into the blocks and not into a ``HeteroConv``.

    Args:
        in_channels: Size of each input feature, or -1 to take it from the first input. With a pair,
            each graph has a :math:`W` of its own.
        out_channels: Size of each output feature.
        edge_index: Edges from the first to the second graph, as :class:`FusionConv` takes them.
        edge_weight: The prior :math:`A_{fs}` of each edge, ``[E]``; ones if ``None``.
        size: Number of nodes of the first and of the second graph, as for :class:`FusionConv`.
        combine: ``"mul"`` or ``"add"``, as for :class:`FusionConv`.
        normalize: ``"row"``, ``"softmax"`` or ``None``, as for :class:`FusionConv`.
        bias: Whether to add :math:`b`.

    Attributes:
        edge_weight: :math:`W_f` towards the second and towards the first graph, ``[2, E]``, both in
            the order of ``adjacency()[0].edge_index``.

    Shapes:
        - x: a pair ``([N_s, C], [N_t, C])`` or ``([B, N_s, C], [B, N_t, C])``, or for a disjoint
          union of K graphs ``([K * N_s, C], [K * N_t, C])``
        - output: the pair, with ``C_out`` channels

    Raises:
        InputError: If the edges, the prior, an option or the features do not fit, or a call brings
            edges.

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
        first, second = in_channels if isinstance(in_channels, tuple) else (in_channels, None)
        edges = FusionEdges(edge_index, edge_weight, size)
        super().__init__(first, out_channels, edges, (2,), combine, normalize, bias)
        self.in_channels = in_channels
        self.lin_second: Linear | None = None
        if second is not None:
            self.lin_second = Linear(second, out_channels, bias=False, weight_initializer="glorot")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the learnable parameters; the adjacency becomes the normalised prior again."""
        super().reset_parameters()
        if self.lin_second is not None:
            self.lin_second.reset_parameters()

    def adjacency(self) -> tuple[SparseMatrix, SparseMatrix]:
        """Return the current :math:`A_f` towards the second graph, ``[N_t, N_s]``, and back."""
        onward, back = (self.weigh(weight) for weight in self.edge_weight.unbind())
        return self.normalized(onward), self.normalized(back.t())

    def strength(self) -> Tensor:
        """Return the absolute value of each edge in :math:`A_f` in its stronger direction."""
        onward, back = self.adjacency()
        return torch.maximum(onward.value.abs(), back.t().value.abs())

    def forward(
        self,
        x: tuple[Tensor, Tensor],
        edge_index: Adj | None = None,
        edge_weight: OptTensor = None,
    ) -> tuple[Tensor, Tensor]:
        """Return :math:`A_f X W + b` for the nodes of both graphs."""
        if edge_index is not None or edge_weight is not None:
            problem = "features of both graphs come out, over the layer's own edges"
            remedy = "Leave it out; in a HeteroConv take one FusionConv for each direction"
            raise InputError("edge_index", type(edge_index).__name__, problem, remedy)
        first, second = self.edges.unstack(x)
        if second is None:
            remedy = "Give features of both graphs"
            raise InputError("x[1]", None, "features cross in both directions", remedy)
        copies = first.size(0) if x[0].dim() < first.dim() else 1
        self.edges.check_call(None, None, copies)
        to_second, to_first = self.adjacency()
        lin_second = self.lin_second or self.lin
        if self.explain:
            return (
                self._explained(to_first.t().value, x[1], lin_second, copies, back=True),
                self._explained(to_second.value, x[0], self.lin, copies, back=False),
            )
        return (
            restack(x[0], self.convolve(to_first, second, lin_second)),
            restack(x[0], self.convolve(to_second, first, self.lin)),
        )

    def _explained(self, weight: Tensor, x: Tensor, lin: Linear, copies: int, back: bool) -> Tensor:
        edges, _ = self.edges.locate(None, copies)
        num_first, num_second = (copies * number for number in self.size)
        size = (num_second, num_first) if back else (num_first, num_second)
        ends = edges.flip(0) if back else edges
        return self.convolve_by_messages(ends, weight.repeat(copies), x, lin, size)
