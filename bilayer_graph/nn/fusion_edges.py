"""The fixed part of a fusion graph: which edges there are, and their prior."""

import torch
from torch import Tensor, nn
from torch_geometric.typing import Adj, OptPairTensor

from bilayer_graph.errors import InputError
from bilayer_graph.nn.edges import edge_list
from bilayer_graph.ops import SparseMatrix, sparse_matrix
from bilayer_graph.ops.sparse_matrix import readable


class FusionEdges(nn.Module):
    """Edges between two graphs, kept as buffers: they move with the model, outside its state dict.

    It also knows a disjoint union of copies of the two graphs, as PyG's ``Batch`` makes them.

    Args:
        edge_index: Edges from the first to the second graph, shape ``[2, E]``, each once.
        prior: Prior weight of each edge, shape ``[E]``; ones if ``None``.
        size: Number of nodes of the first and of the second graph; by default the largest indices
            plus one.

    Raises:
        InputError: If there is no edge, an edge twice or outside the graphs, or a prior that is not
            a finite number of at least 0.
    """

    edge_index: Tensor

    def __init__(
        self, edge_index: Tensor, prior: Tensor | None, size: tuple[int, int] | None
    ) -> None:
        super().__init__()
        if edge_index.numel() == 0:
            remedy = "Give at least one edge between the two graphs"
            raise InputError("edge_index", list(edge_index.shape), "the graph is empty", remedy)
        if size is None:
            size = int(edge_index[0].max()) + 1, int(edge_index[1].max()) + 1
        self.size = size
        if prior is not None:
            _check_prior(prior)
        forward, order = sparse_matrix(edge_index, prior, size)
        _check_distinct(forward)
        self.register_buffer("edge_index", edge_index, persistent=False)
        self._register("forward", forward, order)
        self._register("backward", forward.t(), order[forward.perm_t])

    def _register(self, direction: str, matrix: SparseMatrix, order: Tensor) -> None:
        for name, tensor in {**matrix._asdict(), "order": order}.items():
            self.register_buffer(f"{direction}_{name}", tensor, persistent=False)

    def prior(self, direction: str) -> tuple[SparseMatrix, Tensor]:
        """Return the prior ``"forward"`` (first to second graph) or ``"backward"``.

        Returns:
            The matrix with targets as rows, and the position in ``edge_index`` of each entry.
        """
        matrix = SparseMatrix(*(getattr(self, f"{direction}_{n}") for n in SparseMatrix._fields))
        return matrix, getattr(self, f"{direction}_order")

    def unstack(self, x: OptPairTensor, edge_index: Adj | None) -> OptPairTensor:
        """View the features of a disjoint union ``[K * N, C]`` as a batch ``[K, N, C]``.

        A batch ``[B, N, C]`` and one graph ``[N, C]`` stay as they are. Under ``torch.compile`` the
        edges are not compared.

        Args:
            x: Features of the first and of the second graph.
            edge_index: The edges that came with them, if any.

        Raises:
            InputError: If the features or the edges are not those of copies of the two graphs.
        """
        if len(x) != 2 or x[0] is None:
            given = [None if part is None else list(part.shape) for part in x]
            remedy = "Give a pair: features of the first and of the second graph"
            raise InputError("x", given, "features cross from the first to the second", remedy)
        first = self._unstack(0, x[0])
        second = None if x[1] is None else self._unstack(1, x[1])
        if second is not None and first.shape[:-2] != second.shape[:-2]:
            shapes = [list(part.shape) for part in x if part is not None]
            remedy = "Give features of the same number of graphs"
            raise InputError("x", shapes, "not the same number of graphs", remedy)
        if edge_index is not None and readable(self.edge_index):
            copies = first.size(0) if x[0].dim() < first.dim() else 1
            self._check(edge_list(edge_index)[0], copies)
        return first, second

    def _unstack(self, which: int, x: Tensor) -> Tensor:
        nodes = self.size[which]
        if x.dim() in (2, 3) and x.size(-2) == nodes:
            return x
        if x.dim() == 2 and x.size(0) and x.size(0) % nodes == 0:
            return x.view(-1, nodes, x.size(1))
        swapped = x.dim() in (2, 3) and x.size(-2) == self.size[1 - which]
        name, other = ("first", "second") if which == 0 else ("second", "first")
        raise InputError(
            f"x[{which}]",
            list(x.shape),
            f"the {name} graph has {nodes} nodes"
            + (f", these look like the {other} graph's" if swapped else ""),
            f"Give [{nodes}, C], [B, {nodes}, C] or, for a union of K graphs, [K * {nodes}, C]",
        )

    def _check(self, given: Tensor, copies: int) -> None:
        shift = torch.tensor(self.size, device=given.device).view(2, 1, 1)
        shift = shift * torch.arange(copies, device=given.device).view(1, -1, 1)
        own = (self.edge_index.unsqueeze(1) + shift).flatten(1)
        if given.shape == own.shape and (torch.equal(given, own) or _same_edges(given, own)):
            return
        problem = (
            f"not the layer's {self.edge_index.size(1)} edges, once for each of {copies} graphs"
        )
        if given.shape == own.shape and _same_edges(given.flip(0), own):
            problem = "the layer's edges with source and destination swapped"
        remedy = "Give the edges that the layer was built with, once a graph, or leave them out"
        raise InputError("edge_index", list(given.shape), problem, remedy)


def restack(x: Tensor, out: Tensor) -> Tensor:
    """Return a result in the form of the input: what was unstacked as a disjoint union again."""
    return out.flatten(0, 1) if x.dim() < out.dim() else out


def _same_edges(given: Tensor, own: Tensor) -> bool:
    high = max(int(given.max()), int(own.max())) + 1
    first, second = ((edges[0] * high + edges[1]).sort().values for edges in (given, own))
    return torch.equal(first, second)


def _check_prior(prior: Tensor) -> None:
    wrong = ~(prior.isfinite() & (prior >= 0))
    if wrong.any():
        entry = int(wrong.nonzero()[0, 0])
        remedy = "Give a finite weight of at least 0 to each edge"
        raise InputError("edge_weight", f"{prior[entry].item()} at {entry}", "not a prior", remedy)


def _check_distinct(matrix: SparseMatrix) -> None:
    # Entries are sorted by row and column; a repeated one would pass for a complete graph.
    repeated = (matrix.col.diff() == 0) & (matrix.row.diff() == 0)
    if repeated.any():
        entry = int(repeated.nonzero()[0])
        edge = f"({int(matrix.col[entry])}, {int(matrix.row[entry])})"
        remedy = "Give each edge once, for example through torch_geometric.utils.coalesce"
        raise InputError("edge_index", edge, "this edge is there twice", remedy)
