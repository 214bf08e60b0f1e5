"""The graph convolution of the paper."""

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import Adj, OptPairTensor, OptTensor, Size

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import readable
from bilayer_graph.nn.accumulate import accumulate
from bilayer_graph.nn.adjacency import adjacency, edge_list, is_list, known_size
from bilayer_graph.nn.linear import Linear
from bilayer_graph.ops import SparseMatrix, spmm


class GraphConv(MessagePassing):
    r"""The graph convolution :math:`X' = A X W + b` with a fixed, already normalised adjacency.

    Args:
        in_channels: Size of each input feature, or -1 to take it from the first input; of a pair
            for two node sets, that of the sources counts.
        out_channels: Size of each output feature.
        bias: Whether to add :math:`b`.

    Shapes:
        - x: ``[N, C_in]`` or ``[B, N, C_in]`` (one topology shared by the batch), or a pair for
          source and target nodes, of which the targets may be ``None``
        - edge_index: ``[2, E]`` as a tensor or an ``EdgeIndex``, a sparse ``[M, N]`` adjacency with
          targets as rows, or a :class:`~bilayer_graph.ops.SparseMatrix`, which is the fast way;
          a list of edges is sorted once a call for a batch, and walked edge by edge otherwise
        - edge_weight: ``[E]``, with ``edge_index`` of shape ``[2, E]`` only
        - size: number of source and of target nodes, where neither features nor edges say it
        - output: ``[M, C_out]`` or ``[B, M, C_out]``

    Raises:
        InputError: If an edge leaves the graph, the weights are not one an edge or come beside an
            adjacency that has its own, or ``x`` does not fit. Under ``torch.compile`` the values of
            ``edge_index`` are not checked.

    Source: Yu, van Baar, Chen, "Joint 3D Human Shape Recovery and Pose Estimation from a Single
    Image with Bilayer Graph", 3DV 2021.
    """

    def __init__(
        self, in_channels: int | tuple[int, int], out_channels: int, bias: bool = True
    ) -> None:
        super().__init__(aggr="add", node_dim=-2)
        self.in_channels = in_channels
        self.out_channels = out_channels
        width = in_channels[0] if isinstance(in_channels, tuple) else in_channels
        self.lin = Linear(width, out_channels, bias=False, weight_initializer="glorot")
        if bias:
            self.bias = torch.nn.Parameter(torch.empty(out_channels))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the learnable parameters."""
        super().reset_parameters()
        self.lin.reset_parameters()
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    def forward(
        self,
        x: Tensor | OptPairTensor,
        edge_index: Adj | SparseMatrix,
        edge_weight: OptTensor = None,
        size: Size = None,
    ) -> Tensor:
        """Return :math:`A X W + b`."""
        source, target = (x, x) if isinstance(x, Tensor) else x
        hidden = self.lin(source)
        _check_one_weight(edge_index, edge_weight)
        size = _size(edge_index, source, target, size)
        if self._walks(edge_index, source):
            index, weight, size = edge_list(edge_index, edge_weight, size)
            out: Tensor = self.propagate(index, x=(hidden, None), edge_weight=weight, size=size)
            return out if self.bias is None else out + self.bias.to(out.dtype)
        out = self.message_and_aggregate(adjacency(edge_index, edge_weight, size), hidden)
        return out if self.bias is None else accumulate(out, self.bias.to(out.dtype))

    def _walks(self, edges: Adj | SparseMatrix, source: Tensor) -> bool:
        """Return whether messages go edge by edge: to sort a list pays for a batch only."""
        if isinstance(edges, SparseMatrix):
            return False
        return bool(self.explain) or (
            is_list(edges) and (source.dim() == 2 or not readable(source))
        )

    def message(self, x_j: Tensor, edge_weight: OptTensor) -> Tensor:
        """Return the neighbour's features times the weight of the edge."""
        return x_j if edge_weight is None else edge_weight.to(x_j.dtype).unsqueeze(-1) * x_j

    def message_and_aggregate(self, adj_t: Adj | SparseMatrix, x: Tensor | OptPairTensor) -> Tensor:
        """Return :math:`A X` in one sparse product."""
        return spmm(adjacency(adj_t), x if isinstance(x, Tensor) else x[0])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels})"


def _check_one_weight(edges: Adj | SparseMatrix, edge_weight: OptTensor) -> None:
    if edge_weight is not None and not is_list(edges):
        problem, remedy = "a sparse adjacency has its own", "Leave it out, or give edges [2, E]"
        raise InputError("edge_weight", list(edge_weight.shape), problem, remedy)


def _size(edges: Adj | SparseMatrix, source: Tensor, target: OptTensor, size: Size) -> Size:
    """Return the number of source and of target nodes of a list of edges."""
    if not is_list(edges):
        return None
    num_sources = source.size(-2)
    num_targets = target.size(-2) if target is not None else (size or known_size(edges))[1]
    # As PyG: without a word about the targets there are as many as sources.
    return num_sources, num_sources if num_targets is None else num_targets
