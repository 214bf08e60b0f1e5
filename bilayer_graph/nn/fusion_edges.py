"""The fixed part of a fusion graph: which edges there are, and their prior."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch_geometric.typing import Adj, OptPairTensor, OptTensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import readable
from bilayer_graph.nn.edge_copies import check_same_prior, find_edges
from bilayer_graph.nn.edges import edge_list
from bilayer_graph.ops import SparseMatrix, sparse_matrix

Direction: TypeAlias = Literal["forward", "backward"]
"""From the first to the second graph, or back."""


class FusionEdges(nn.Module):
    """Edges between two graphs, kept as buffers: they move with the model, outside its state dict.

    It also knows a disjoint union of copies of the two graphs, as PyG's ``Batch`` makes them.

    Args:
        edge_index: Edges from the first to the second graph, shape ``[2, E]``, each once.
        prior: Prior weight of each edge, shape ``[E]``; ones if ``None``. A constant: no gradient
            flows into it.
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
        self.says_size = size is not None
        if size is None:
            size = int(edge_index[0].max()) + 1, int(edge_index[1].max()) + 1
        if len(size) != 2:
            raise InputError("size", size, "not two numbers", "Give (num_first, num_second)")
        self.size = size
        if prior is not None:
            prior = prior.detach()
            prior = prior if prior.is_floating_point() else prior.to(torch.get_default_dtype())
        forward, order = sparse_matrix(edge_index, prior, size)
        _check_prior(forward.value, order)
        _check_distinct(forward)
        self.register_buffer("edge_index", edge_index.long(), persistent=False)
        self._register("forward", forward, order)
        self._register("backward", forward.t(), order[forward.perm_t])

    def _register(self, direction: Direction, matrix: SparseMatrix, order: Tensor) -> None:
        for name, tensor in {**matrix._asdict(), "order": order}.items():
            self.register_buffer(f"{direction}_{name}", tensor, persistent=False)

    def prior(self, direction: Direction) -> tuple[SparseMatrix, Tensor]:
        """Return the prior of a direction.

        Returns:
            The matrix with targets as rows, and the position in ``edge_index`` of each entry.
        """
        matrix = SparseMatrix(*(getattr(self, f"{direction}_{n}") for n in SparseMatrix._fields))
        return matrix, getattr(self, f"{direction}_order")

    def unstack(self, x: OptPairTensor) -> OptPairTensor:
        """View the features of a disjoint union ``[K * N, C]`` as a batch ``[K, N, C]``.

        A batch ``[B, N, C]`` and one graph ``[N, C]`` stay as they are.

        Args:
            x: Features of the first and of the second graph, of which the second may be ``None``.

        Raises:
            InputError: If the features are not those of copies of the two graphs.
        """
        parts = tuple(x) if isinstance(x, (tuple, list)) else (x,)
        is_pair = len(parts) == 2 and isinstance(parts[0], Tensor)
        if not is_pair or not isinstance(parts[1], Tensor | None):
            remedy = "Give a pair: features of the first and of the second graph"
            problem = "features cross from the first to the second"
            raise InputError("x", _describe(parts), problem, remedy)
        first = self._unstack(0, parts[0])
        second = None if parts[1] is None else self._unstack(1, parts[1])
        if second is not None and first.shape[:-2] != second.shape[:-2]:
            remedy = "Give features of the same number of graphs"
            raise InputError("x", _describe(parts), "not the same number of graphs", remedy)
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
            f"Give [{nodes}, C], [B, {nodes}, C] or, for a union of K graphs, [K * {nodes}, C]"
            + ("" if self.says_size else "; or build the layer with size=(num_first, num_second)"),
        )

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
        given = own if edge_index is None else edge_list(edge_index)[0].long()
        return given, find_edges(given, own, copies)

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
            matrix, order = self.prior("forward")
            check_same_prior(edge_weight, place(matrix.value, order).repeat(copies), position)


def place(value: Tensor, position: Tensor) -> Tensor:
    """Return values in another order, each at its position; the inverse of ``value[position]``."""
    return torch.empty_like(value).index_copy(0, position, value)


def restack(x: Tensor, out: Tensor) -> Tensor:
    """Return a result in the form of the input: what was unstacked as a disjoint union again."""
    return out.flatten(0, 1) if x.dim() < out.dim() else out


def _describe(parts: tuple[object, ...]) -> list[object]:
    names = (None if part is None else type(part).__name__ for part in parts)
    return [
        list(part.shape) if isinstance(part, Tensor) else name
        for part, name in zip(parts, names, strict=True)
    ]


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
