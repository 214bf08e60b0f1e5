"""A fixed graph that travels with its model."""

import torch
from torch_geometric.typing import Adj, OptTensor

from bilayer_graph.errors import InputError
from bilayer_graph.nn.edges import edge_list
from bilayer_graph.ops import SparseMatrix, sparse_matrix


class StaticGraph(torch.nn.Module):
    """A fixed adjacency, kept as buffers: it moves with the model and stays out of its state dict.

    Args:
        edge_index: Source and target of each edge, shape ``[2, E]``, also an ``EdgeIndex``, or a
            sparse adjacency with targets as rows.
        edge_weight: Weight of each edge, shape ``[E]``; by default what a sparse adjacency holds,
            or ones. A constant: no gradient flows into it.
        size: Number of source and of target nodes; ``None`` if ``edge_index`` says it.

    Raises:
        InputError: If the edges leave the graph or do not fit the weights, or nothing says how many
            nodes there are.
    """

    def __init__(
        self,
        edge_index: Adj,
        edge_weight: OptTensor = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        edges, weight, known_size = edge_list(edge_index, edge_weight)
        size = size or known_size
        if size is None:
            problem, remedy = "a list of edges does not say it", "Give (num_sources, num_targets)"
            raise InputError("size", None, problem, remedy)
        matrix, _ = sparse_matrix(edges, None if weight is None else weight.detach(), size)
        for name, tensor in matrix._asdict().items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self) -> SparseMatrix:
        """Return the adjacency, targets as rows, on the module's device."""
        return SparseMatrix(*(getattr(self, name) for name in SparseMatrix._fields))
