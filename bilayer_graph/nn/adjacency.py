"""The one boundary between the forms that edges come in and a sparse matrix."""

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj, OptTensor, SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import check_edges
from bilayer_graph.nn.wide import WideBuffers
from bilayer_graph.ops import SparseMatrix, compress_edges

Size: TypeAlias = tuple[int | None, int | None]
"""Number of source and of target nodes, where it is known."""


class EdgeList(NamedTuple):
    """Edges one by one.

    Attributes:
        edge_index: Source and target of each edge, int64 ``[2, E]``.
        edge_weight: Weight of each edge, ``[E]``, if it has one.
        size: Number of source and of target nodes.
    """

    edge_index: Tensor
    edge_weight: OptTensor
    size: tuple[int, int]


class StaticGraph(WideBuffers):
    """A fixed adjacency, kept as buffers: it moves with the model and stays out of its state dict.

    Its weights stay in float32 at least in a model of half precision.

    Args:
        edge_index: Source and target of each edge, ``[2, E]``, as a tensor or an ``EdgeIndex``, a
            sparse ``[M, N]`` adjacency with targets as rows, or a
            :class:`~bilayer_graph.ops.SparseMatrix`.
        edge_weight: Weight of each edge, shape ``[E]``; by default what a sparse adjacency holds,
            or ones. A constant: no gradient flows into it.
        size: Number of source and of target nodes; ``None`` if ``edge_index`` says it.

    Raises:
        InputError: If the edges leave the graph or do not fit the weights, or nothing says how many
            nodes there are.
    """

    def __init__(
        self,
        edge_index: Adj | SparseMatrix,
        edge_weight: OptTensor = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(edge_weight, Tensor):
            edge_weight = edge_weight.detach()
        matrix = adjacency(edge_index, edge_weight, size)
        if matrix.value.requires_grad:
            matrix = matrix._replace(value=matrix.value.detach())
        for name, tensor in matrix._asdict().items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self) -> SparseMatrix:
        """Return the adjacency, targets as rows, on the module's device."""
        return SparseMatrix(*(getattr(self, name) for name in SparseMatrix._fields))

    def __repr__(self) -> str:
        num_targets, num_sources = self().shape
        edges = self.get_buffer("col").numel()
        return f"{self.__class__.__name__}(size={(num_sources, num_targets)}, edges={edges})"


def adjacency(
    edges: Adj | SparseMatrix, edge_weight: OptTensor = None, size: Size | None = None
) -> SparseMatrix:
    """Return edges of any form as a sparse matrix with targets as rows; see :func:`edge_list`."""
    if isinstance(edges, SparseMatrix):
        return edges
    return compress_edges(*edge_list(edges, edge_weight, size))[0]


def edge_list(edges: Adj, edge_weight: OptTensor = None, size: Size | None = None) -> EdgeList:
    """Return edges of any form one by one.

    Args:
        edges: ``[2, E]`` (source, target) as a tensor or an ``EdgeIndex``, or a ``[M, N]``
            adjacency with targets as rows, a ``torch_sparse.SparseTensor`` or torch sparse tensor.
        edge_weight: Weight of each edge, ``[E]``; by default what an adjacency holds.
        size: Number of source and of target nodes, where it is not what the edges say.

    Raises:
        InputError: If it is none of these, an edge leaves the graph, the weights are not one an
            edge, or nothing says how many nodes there are.
    """
    if not isinstance(edge_weight, Tensor | None):
        remedy = "Give one weight an edge, as a tensor of shape [E]"
        raise InputError("edge_weight", type(edge_weight).__name__, "not a tensor", remedy)
    index, value = entries(edges)
    num_sources, num_targets = size or known_size(edges)
    if num_sources is None or num_targets is None:
        problem, remedy = "a list of edges does not say it", "Give (num_sources, num_targets)"
        raise InputError("size", None, problem, remedy)
    weight = value if edge_weight is None else edge_weight
    check_edges("edge_index", index, weight, (num_sources, num_targets))
    return EdgeList(index.long(), weight, (num_sources, num_targets))


def known_size(edges: Adj) -> Size:
    """Return what edges say about the number of source and of target nodes."""
    if isinstance(edges, EdgeIndex):
        num_sources, num_targets = edges.sparse_size()
        return num_sources, num_targets
    if is_list(edges):
        return None, None
    return edges.size(1), edges.size(0)


def is_list(edges: Adj | SparseMatrix) -> bool:
    """Return whether edges come one by one, unlike those of an adjacency."""
    return not (isinstance(edges, SparseMatrix | SparseTensor) or is_torch_sparse_tensor(edges))


def entries(edges: Adj) -> tuple[Tensor, OptTensor]:
    """Return edges of any form as a plain tensor, and what an adjacency holds for each.

    Raises:
        InputError: If they are neither a tensor nor a sparse adjacency.
    """
    if isinstance(edges, SparseTensor):
        target, source, value = edges.coo()
        return torch.stack([source, target]), value
    if is_torch_sparse_tensor(edges):
        entries = edges.to_sparse_coo().coalesce()
        return entries.indices().flip(0), entries.values()
    if isinstance(edges, EdgeIndex):
        return edges.as_tensor(), None
    if not isinstance(edges, Tensor):
        remedy = "Give a tensor [2, E], an EdgeIndex or a sparse adjacency"
        raise InputError("edge_index", type(edges).__name__, "not edges", remedy)
    return edges, None
