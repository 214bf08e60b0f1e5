"""The fusion convolution: features cross between two graphs over learnable edges."""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.typing import OptPairTensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops import SparseMatrix, row_norm, row_softmax, sparse_matrix, spmm


class FusionConv(MessagePassing):
    r"""The fusion convolution :math:`X' = A_f X W + b` over a learnable bipartite adjacency.

    .. math:: A_f = \mathrm{RowNorm}(A_{fs} \odot W_f)

    over the nodes of both graphs together: the prior :math:`A_{fs}` is fixed and zero inside each
    graph, :math:`W_f` has one learnable weight for each edge and direction, all 1 at the start.

    Args:
        in_channels: Size of each input feature, or -1 to take it from the first input.
        out_channels: Size of each output feature.
        edge_index: Edges from the first to the second graph, shape ``[2, E]``; each is used in both
            directions.
        edge_weight: The prior :math:`A_{fs}` of each edge, shape ``[E]``; ones if ``None``.
        size: Number of nodes of the first and of the second graph; by default the edges' largest
            indices plus one.
        combine: ``"mul"`` for :math:`A_{fs} \odot W_f`, ``"add"`` for :math:`A_{fs} + W_f` with
            :math:`W_f` starting at 0.
        normalize: ``"row"`` (:func:`~bilayer_graph.ops.row_norm`), ``"softmax"`` over each row, or
            ``None``.
        bias: Whether to add :math:`b`.

    Shapes:
        - x: a pair ``([N_s, C_in], [N_m, C_in])`` or ``([B, N_s, C_in], [B, N_m, C_in])``
        - output: the pair with ``C_out`` channels

    Raises:
        InputError: If the edges, the prior or an option do not fit.

    Source: Yu, van Baar, Chen, "Joint 3D Human Shape Recovery and Pose Estimation from a Single
    Image with Bilayer Graph", 3DV 2021.
    """

    # PyG builds propagate() from the calls that it finds in a class; the fast path makes none.
    propagate_type: ClassVar = {"x": OptPairTensor, "edge_weight": Tensor}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        *,
        size: tuple[int, int] | None = None,
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
        self.combine = combine
        self.normalize = normalize
        if size is None:
            size = _smallest_size(edge_index)
        self.size = size
        forward, order = sparse_matrix(edge_index, edge_weight, size)
        _check_distinct(forward)
        backward, order_back = sparse_matrix(edge_index.flip(0), edge_weight, size[::-1])
        self._register("forward", forward, order)
        self._register("backward", backward, order_back)
        self.lin = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot")
        self.edge_weight = torch.nn.Parameter(torch.empty(2, edge_index.size(1)))
        if bias:
            self.bias = torch.nn.Parameter(torch.empty(out_channels))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _register(self, direction: str, matrix: SparseMatrix, order: Tensor) -> None:
        # Fixed data: in no checkpoint, on every device.
        for name, tensor in {**matrix._asdict(), "order": order}.items():
            self.register_buffer(f"_{direction}_{name}", tensor, persistent=False)

    def reset_parameters(self) -> None:
        """Reset the learnable parameters; the adjacency becomes the normalised prior again."""
        super().reset_parameters()
        self.lin.reset_parameters()
        torch.nn.init.constant_(self.edge_weight, 1.0 if self.combine == "mul" else 0.0)
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    def adjacency(self) -> tuple[SparseMatrix, SparseMatrix]:
        """Return the current :math:`A_f`: first to second graph, and second to first.

        Both matrices have targets as rows: sizes ``[N_m, N_s]`` and ``[N_s, N_m]``.
        """
        return self._adjacency("forward", 0), self._adjacency("backward", 1)

    def _adjacency(self, direction: str, which: int) -> SparseMatrix:
        names = SparseMatrix._fields
        matrix = SparseMatrix(*(getattr(self, f"_{direction}_{name}") for name in names))
        weight = self.edge_weight[which][getattr(self, f"_{direction}_order")]
        prior = matrix.value
        weight = prior * weight if self.combine == "mul" else prior + weight
        if self.normalize == "row":
            weight = row_norm(weight, matrix.row, matrix.size[0])
        elif self.normalize == "softmax":
            weight = row_softmax(weight, matrix.row, matrix.size[0])
        return matrix._replace(value=weight)

    def forward(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return :math:`A_f X W + b` for the nodes of the first and of the second graph."""
        to_second, to_first = self.adjacency()
        return self._convolve(to_first, x[1]), self._convolve(to_second, x[0])

    def _convolve(self, adjacency: SparseMatrix, x: Tensor) -> Tensor:
        num_targets, num_sources = adjacency.size
        # W goes to the side with fewer nodes.
        if num_sources <= num_targets:
            out = self.message_and_aggregate(adjacency, self.lin(x))
        else:
            out = self.lin(self.message_and_aggregate(adjacency, x))
        return out if self.bias is None else out + self.bias.to(out.dtype)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """Return the neighbour's features times the weight of the edge."""
        return edge_weight.unsqueeze(-1) * x_j

    def message_and_aggregate(self, adjacency: SparseMatrix, x: Tensor) -> Tensor:
        """Return :math:`A_f X`; a complete bipartite graph is a dense matrix."""
        num_targets, num_sources = adjacency.size
        if adjacency.value.numel() == num_targets * num_sources:
            return torch.matmul(adjacency.value.view(num_targets, num_sources), x)
        return spmm(adjacency, x)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"size={self.size}, edges={self.edge_weight.size(1)})"
        )


def _smallest_size(edge_index: Tensor) -> tuple[int, int]:
    if edge_index.numel() == 0:
        raise InputError("size", None, "without edges it is unknown", "Give the number of nodes")
    return int(edge_index[0].max()) + 1, int(edge_index[1].max()) + 1


def _check_distinct(matrix: SparseMatrix) -> None:
    # Entries are sorted by row and column; a repeated one would pass for a complete graph.
    repeated = (matrix.col.diff() == 0) & (matrix.row.diff() == 0)
    if repeated.any():
        entry = int(repeated.nonzero()[0])
        edge = f"({int(matrix.col[entry])}, {int(matrix.row[entry])})"
        remedy = "Give each edge once, for example through torch_geometric.utils.coalesce"
        raise InputError("edge_index", edge, "this edge is there twice", remedy)
