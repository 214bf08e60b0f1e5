"""What the fusion convolutions in one and in two directions share."""

import copy
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing

from bilayer_graph.errors import InputError
from bilayer_graph.nn.accumulate import accumulate
from bilayer_graph.nn.fusion_edges import FusionEdges
from bilayer_graph.nn.linear import Linear
from bilayer_graph.ops import SparseMatrix, fusion_product, row_norm, row_softmax, spmm

Combine = Literal["mul", "add"]
Normalize = Literal["row", "softmax"]
Self = TypeVar("Self", bound="FusionLayer")


class FusionLayer(MessagePassing):
    r"""A linear layer and learnable edges, with what is made of them.

    The state dict holds a digest of the edges, so that weights do not go to other edges.

    Args:
        in_channels: Size of each input feature.
        out_channels: Size of each output feature.
        edges: The fixed part of the graph.
        directions: Shape of :math:`W_f` before its edges: ``()`` or the number of directions.
        combine: ``"mul"`` for :math:`A_{fs} \odot W_f`, ``"add"`` for :math:`A_{fs} + W_f`.
        normalize: ``"row"``, ``"softmax"`` or ``None``.
        bias: Whether to add :math:`b`.

    Raises:
        InputError: If an option has no such value, or a state dict was learned on other edges.
    """

    edge_digest: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        edges: FusionEdges,
        directions: tuple[int, ...],
        combine: Combine,
        normalize: Normalize | None,
        bias: bool,
    ) -> None:
        super().__init__(aggr="add", node_dim=-2)
        if combine not in ("mul", "add"):
            raise InputError("combine", combine, "not a way to combine", "Give 'mul' or 'add'")
        if normalize not in ("row", "softmax", None):
            remedy = "Give 'row', 'softmax' or None"
            raise InputError("normalize", normalize, "not a normalisation", remedy)
        self.in_channels: int | tuple[int, int] = in_channels
        self.out_channels = out_channels
        self.combine = combine
        self.normalize = normalize
        self.edges = edges
        self.size = edges.size
        self.register_buffer("edge_digest", edges.digest())
        self.lin = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot")
        shape = *directions, edges.edge_index.size(1)
        self.edge_weight = torch.nn.Parameter(torch.empty(shape))
        if bias:
            self.bias = torch.nn.Parameter(torch.empty(out_channels))
        else:
            self.register_parameter("bias", None)

    def reset_parameters(self) -> None:
        """Reset the learnable parameters; the adjacency becomes the normalised prior again."""
        super().reset_parameters()
        self.lin.reset_parameters()
        torch.nn.init.constant_(self.edge_weight, 1.0 if self.combine == "mul" else 0.0)
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    def strength(self) -> Tensor:
        """Return the absolute value of each edge in :math:`A_f`, ``[E]``."""
        raise NotImplementedError

    def prune(self: Self, threshold: float) -> Self:
        """Return a copy of the layer without its weak edges.

        What the others have learned stays, and their rows are normalised again.

        Args:
            threshold: Value in :math:`A_f`, signs aside, up to which an edge is left out.

        Raises:
            InputError: If no edge is stronger.
        """
        strength = self.strength().detach()
        keep = strength > threshold
        if not keep.any():
            problem = f"the strongest edge has {strength.max().item():.4g}"
            raise InputError("threshold", threshold, problem, "Give a smaller one")
        pruned, prior = copy.deepcopy(self), self.edges.prior().value
        pruned.edges = FusionEdges(self.edges.edge_index[:, keep], prior[keep], self.size)
        pruned.edge_digest = pruned.edges.digest()
        weight = self.edge_weight.detach()[..., keep]
        pruned.edge_weight = torch.nn.Parameter(weight, self.edge_weight.requires_grad)
        return pruned

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Weights from before there was a digest have none.
        found = state_dict.setdefault(prefix + "edge_digest", self.edge_digest)
        if not torch.equal(found.to(self.edge_digest), self.edge_digest):
            problem = "learned on other edges than the layer has"
            remedy = "Build the layer with the edges that the weights were learned on"
            raise InputError("state_dict", prefix + "edge_weight", problem, remedy)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def weigh(self, weight: Tensor) -> SparseMatrix:
        """Return the prior combined with weights of its edges, ``[E]``."""
        prior = self.edges.prior()
        value = prior.value * weight if self.combine == "mul" else prior.value + weight
        return prior._replace(value=value)

    def normalized(self, matrix: SparseMatrix) -> SparseMatrix:
        """Return a matrix with the rows that ``normalize`` asks for."""
        if self.normalize == "row":
            return matrix._replace(value=row_norm(matrix.value, matrix.rowptr))
        if self.normalize == "softmax":
            return matrix._replace(value=row_softmax(matrix.value, matrix.rowptr))
        return matrix

    def convolve(self, adjacency: SparseMatrix, x: Tensor, lin: Linear) -> Tensor:
        """Return :math:`A_f X W + b`."""
        num_targets, num_sources = adjacency.shape
        # W goes to the side with fewer nodes.
        if num_sources > num_targets:
            out = lin(self.message_and_aggregate(adjacency, x))
        elif _is_complete(adjacency) and self.bias is not None:
            return _affine_product(_dense(adjacency), lin(x), self.bias)
        else:
            out = self.message_and_aggregate(adjacency, lin(x))
        return out if self.bias is None else accumulate(out, self.bias.to(out.dtype), lin)

    def convolve_by_messages(
        self, edge_index: Tensor, edge_weight: Tensor, x: Tensor, lin: Linear, size: tuple[int, int]
    ) -> Tensor:
        """Do what :meth:`convolve` does edge by edge, where PyG's explainers mask."""
        out: Tensor = self.propagate(
            edge_index, x=(lin(x), None), edge_weight=edge_weight, size=size
        )
        return out if self.bias is None else out + self.bias.to(out.dtype)

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
