"""A sparse matrix in compressed rows, together with its transpose for the backward pass."""

from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.errors import InputError


class SparseMatrix(NamedTuple):
    """A sparse ``[M, N]`` matrix, the adjacency ``A`` of ``X' = A X``: rows are targets.

    Attributes:
        rowptr: Where each row starts in ``col``, shape ``[M + 1]``.
        col: Column of each entry, shape ``[E]``.
        value: Value of each entry, shape ``[E]``.
        rowptr_t: Where each column starts in ``row_t``, shape ``[N + 1]``.
        row_t: Row of each entry, column by column, shape ``[E]``.
        perm_t: Position in ``value`` of each entry, column by column, shape ``[E]``.
    """

    rowptr: Tensor
    col: Tensor
    value: Tensor
    rowptr_t: Tensor
    row_t: Tensor
    perm_t: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.rowptr.numel() - 1, self.rowptr_t.numel() - 1

    @property
    def row(self) -> Tensor:
        """Row of each entry, shape ``[E]``."""
        rows = torch.arange(self.size[0], device=self.col.device)
        return rows.repeat_interleave(self.rowptr.diff(), output_size=self.col.numel())


def sparse_matrix(
    edge_index: Tensor, edge_weight: Tensor | None, size: tuple[int, int]
) -> tuple[SparseMatrix, Tensor]:
    """Compress edges into rows (targets) and columns (sources).

    Args:
        edge_index: Source and target of each edge, shape ``[2, E]``.
        edge_weight: Weight of each edge, shape ``[E]``; ``None`` for ones.
        size: Number of source and of target nodes, ``(N, M)``, as in PyG.

    Returns:
        The ``[M, N]`` matrix, and the position in ``edge_index`` of each of its entries, ``[E]``.

    Raises:
        InputError: If the edges are not ``[2, E]``, leave the graph or do not fit the weights.
    """
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        remedy = "Give sources and targets as one tensor of shape [2, E]"
        raise InputError("edge_index", list(edge_index.shape), "not a list of edges", remedy)
    num_sources, num_targets = size
    source, target = edge_index
    for name, index, number in (("source", source, num_sources), ("target", target, num_targets)):
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < number:
            raise InputError(
                "edge_index",
                f"{name} nodes {int(index.min())}..{int(index.max())}",
                f"the graph has {number} {name} nodes",
                "Give edges between nodes of the graph, as (source, target)",
            )
    if edge_weight is None:
        edge_weight = torch.ones(source.numel(), device=source.device)
    if edge_weight.shape != source.shape:
        raise InputError(
            "edge_weight",
            list(edge_weight.shape),
            f"there are {source.numel()} edges",
            "Give one weight an edge",
        )
    order = (target * num_sources + source).argsort(stable=True)
    perm_t = source[order].argsort(stable=True)
    matrix = SparseMatrix(
        rowptr=_pointer(target, num_targets),
        col=source[order],
        value=edge_weight[order],
        rowptr_t=_pointer(source, num_sources),
        row_t=target[order][perm_t],
        perm_t=perm_t,
    )
    return matrix, order


def _pointer(index: Tensor, number: int) -> Tensor:
    count = torch.bincount(index, minlength=number)
    return torch.cat([count.new_zeros(1), count.cumsum(0)])
