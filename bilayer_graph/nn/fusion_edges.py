"""The fixed part of a fusion graph: which edges there are, and their prior."""

import hashlib

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj, OptPairTensor, OptTensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import readable
from bilayer_graph.nn.adjacency import StaticGraph, edge_list, entries, is_list
from bilayer_graph.nn.copies import unstack
from bilayer_graph.nn.edge_copies import check_same_prior, find_edges
from bilayer_graph.ops import SparseMatrix, compress_edges


class FusionEdges(nn.Module):
    """Edges between two graphs, kept as buffers: they move with the model, outside its state dict.

    The edges are sorted by target and then by source, whatever order they come in; weights learned
    on them are in that order. It also knows a disjoint union of copies of the two graphs, as PyG's
    ``Batch`` makes them.

    Args:
        edges: Edges from the first to the second graph, each once, in any form that
            :class:`~bilayer_graph.nn.StaticGraph` takes.
        prior: Prior weight of each edge, shape ``[E]``; by default what a sparse adjacency holds,
            or ones. A constant: no gradient flows into it.
        size: Number of nodes of the first and of the second graph; by default what the edges say,
            or else the largest indices plus one.

    Raises:
        InputError: If there is no edge, an edge twice or outside the graphs, or a prior that is not
            a finite number of at least 0.
    """

    edge_index: Tensor

    def __init__(self, edges: Adj, prior: OptTensor, size: tuple[int, int] | None) -> None:
        super().__init__()
        if size is not None and len(size) != 2:
            raise InputError("size", size, "not two numbers", "Give (num_first, num_second)")
        self.says_size = size is not None or _is_known(edges)
        if not self.says_size:
            size = _largest(edges)
        index, prior, self.size = edge_list(edges, prior, size)
        if index.numel() == 0:
            remedy = "Give at least one edge between the two graphs"
            raise InputError("edge_index", list(index.shape), "the graph is empty", remedy)
        matrix, order = compress_edges(index, _as_constant(prior), self.size)
        _check_prior(matrix.value, order)
        _check_distinct(matrix)
        self.graph = StaticGraph(matrix)
        self.register_buffer("edge_index", matrix.edge_index, persistent=False)

    def prior(self) -> SparseMatrix:
        """Return the prior, with the nodes of the second graph as rows."""
        prior: SparseMatrix = self.graph()
        return prior

    def unstack(self, x: OptPairTensor) -> OptPairTensor:
        """Return the features of a disjoint union as a batch; see :func:`copies.unstack`."""
        remedy = "; or build the layer with size=(num_first, num_second)"
        return unstack(x, self.size, "" if self.says_size else remedy)

    def locate(self, edge_index: Adj | None, copies: int) -> tuple[Tensor, Tensor]:
        """Find the layer's own edges among those of a call.

        Args:
            edge_index: The edges of a disjoint union of copies of the two graphs, or ``None`` for
                the layer's own.
            copies: Number of graphs in the union, :math:`K`.

        Returns:
            The edges of the call, ``[2, K * E]``, and where each own one stands, ``[K * E]``.

        Raises:
            InputError: If they are not the layer's own.
        """
        shift = torch.tensor(self.size, device=self.edge_index.device).view(2, 1, 1)
        shift = shift * torch.arange(copies, device=shift.device).view(1, -1, 1)
        own = (self.edge_index.unsqueeze(1) + shift).flatten(1)
        return find_edges(own if edge_index is None else edge_index, own, copies)

    def check_call(self, edge_index: Adj | None, edge_weight: OptTensor, copies: int) -> None:
        """Raise :class:`InputError` unless edges and prior of a call are the layer's own.

        Under ``torch.compile`` they are not compared. A union may come without edges only where the
        number of nodes is known for certain.

        Args:
            edge_index: The edges of a disjoint union of copies of the two graphs, if given.
            edge_weight: Their prior, if given.
            copies: Number of graphs in the union.
        """
        if edge_index is None and not self.says_size and copies > 1:
            problem = f"{copies} graphs, or one with nodes that no edge touches"
            remedy = (
                "Give the edges of the union, or build the layer with size=(num_first, num_second)"
            )
            raise InputError("edge_index", None, problem, remedy)
        if (edge_index is None and edge_weight is None) or not readable(self.edge_index):
            return
        _, position = self.locate(edge_index, copies)
        if edge_weight is not None:
            check_same_prior(edge_weight, self.prior().value.repeat(copies), position)

    def digest(self) -> Tensor:
        """Return 16 bytes that name the edges, as two int64: what every checkpoint can hold."""
        edges = torch.cat([torch.tensor(self.size), self.edge_index.cpu().flatten()])
        name = hashlib.sha256(edges.numpy().astype("<i8").tobytes()).digest()[:16]
        numbers = [int.from_bytes(part, "little", signed=True) for part in (name[:8], name[8:])]
        return torch.tensor(numbers, device=self.edge_index.device)


def _is_known(edges: Adj) -> bool:
    """Return whether edges say how many nodes there are."""
    if isinstance(edges, EdgeIndex):
        return None not in edges.sparse_size()
    return not is_list(edges)


def _largest(edges: Adj) -> tuple[int, int]:
    """Return the largest indices plus one."""
    index, _ = entries(edges)
    if index.dim() != 2 or index.size(0) != 2 or not index.numel():
        return 0, 0
    num_first, num_second = (index.amax(dim=1) + 1).tolist()
    return num_first, num_second


def _as_constant(prior: OptTensor) -> OptTensor:
    if prior is None or prior.is_floating_point():
        return None if prior is None else prior.detach()
    return prior.to(torch.get_default_dtype())


def _check_prior(prior: Tensor, order: Tensor) -> None:
    wrong = ~(prior.isfinite() & (prior >= 0))
    if wrong.any():
        edge = int(order[wrong].min())
        value = prior[order == edge].item()
        remedy = "Give a finite weight of at least 0 to each edge"
        raise InputError("edge_weight", f"{value} at {edge}", "not a prior", remedy)


def _check_distinct(matrix: SparseMatrix) -> None:
    # Entries are sorted by row and column; a repeated one would pass for a complete graph.
    repeated = (matrix.col.diff() == 0) & (matrix.row.diff() == 0)
    if repeated.any():
        entry = int(repeated.nonzero()[0])
        edge = f"({int(matrix.col[entry])}, {int(matrix.row[entry])})"
        remedy = "Give each edge once, for example through torch_geometric.utils.coalesce"
        raise InputError("edge_index", edge, "this edge is there twice", remedy)
