"""A fixed graph that travels with its model."""

import torch
from torch import Tensor

from bilayer_graph.ops import SparseMatrix, sparse_matrix


class StaticGraph(torch.nn.Module):
    """A fixed adjacency, kept as buffers: it moves with the model and stays out of its state dict.

    Args:
        edge_index: Source and target of each edge, shape ``[2, E]``.
        edge_weight: Weight of each edge, shape ``[E]``; ``None`` for ones.
        size: Number of source and of target nodes.
    """

    def __init__(
        self, edge_index: Tensor, edge_weight: Tensor | None, size: tuple[int, int]
    ) -> None:
        super().__init__()
        matrix, _ = sparse_matrix(edge_index, edge_weight, size)
        for name, tensor in matrix._asdict().items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self) -> SparseMatrix:
        """Return the adjacency, targets as rows, on the module's device."""
        return SparseMatrix(*(getattr(self, name) for name in SparseMatrix._fields))
