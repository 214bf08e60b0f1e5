"""A sparse matrix in compressed rows, together with its transpose for the backward pass."""

from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.ops.block_diagonal import keep_copies


class SparseMatrix(NamedTuple):
    """A sparse ``[M, N]`` matrix, the adjacency ``A`` of ``X' = A X``: rows are targets.

    Positions and node numbers are int32 tensors; the operations take int64 too. On the CPU the
    operations keep what they prepare of a matrix from :func:`sparse_matrix`, and notice what
    autograd notices: no change through ``.data`` or NumPy.

    Attributes:
        rowptr: Where each row starts in ``col``, shape ``[M + 1]``.
        col: Column of each entry, row by row, shape ``[E]``.
        value: Value of each entry, row by row, shape ``[E]``.
        rowptr_t: Where each column starts in ``row_t``, shape ``[N + 1]``.
        row_t: Row of each entry, column by column, shape ``[E]``.
        perm_t: Position in ``value`` of each entry, column by column, shape ``[E]``.
        perm: The inverse of ``perm_t``: position in ``row_t`` of each entry, row by row.
    """

    rowptr: Tensor
    col: Tensor
    value: Tensor
    rowptr_t: Tensor
    row_t: Tensor
    perm_t: Tensor
    perm: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.rowptr.numel() - 1, self.rowptr_t.numel() - 1

    @property
    def row(self) -> Tensor:
        """Row of each entry, row by row, shape ``[E]``."""
        return self.row_t[self.perm]

    def t(self) -> "SparseMatrix":
        """Return the transpose ``[N, M]``, whose values carry their gradient."""
        return SparseMatrix(
            rowptr=self.rowptr_t,
            col=self.row_t,
            value=self.value[self.perm_t],
            rowptr_t=self.rowptr,
            row_t=self.col,
            perm_t=self.perm,
            perm=self.perm_t,
        )


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
    if edge_index.is_floating_point():
        remedy = "Give node numbers as an integer tensor"
        raise InputError("edge_index", edge_index.dtype, "not a list of edges", remedy)
    num_sources, num_targets = size
    source, target = edge_index
    for name, index, number in (("source", source, num_sources), ("target", target, num_targets)):
        if not _inside(index, number):
            remedy = "Give edges between nodes of the graph, as (source, target)"
            if _inside(source, num_targets) and _inside(target, num_sources):
                remedy += "; these would fit swapped: edge_index.flip(0)"
            raise InputError(
                "edge_index",
                f"{name} nodes {int(index.min())}..{int(index.max())}",
                f"the graph has {number} {name} nodes",
                remedy,
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
        col=source[order].int(),
        value=edge_weight[order],
        rowptr_t=_pointer(source, num_sources),
        row_t=target[order][perm_t].int(),
        perm_t=perm_t.int(),
        perm=perm_t.argsort().int(),
    )
    keep_copies(matrix.rowptr, matrix.col, matrix.value, matrix.rowptr_t, matrix.row_t)
    return matrix, order


def _inside(index: Tensor, number: int) -> bool:
    return not index.numel() or 0 <= int(index.min()) <= int(index.max()) < number


def _pointer(index: Tensor, number: int) -> Tensor:
    count = torch.bincount(index, minlength=number)
    return torch.cat([count.new_zeros(1), count.cumsum(0)]).int()


def check_features(name: str, x: Tensor, side: str, number: int, matrix: SparseMatrix) -> None:
    """Raise an :class:`InputError` unless features have one node for each row or column."""
    if x.dim() not in (2, 3) or x.size(-2) != number:
        remedy = f"Give features of shape [{number}, C] or [B, {number}, C]"
        raise InputError(name, list(x.shape), f"the matrix has {number} {side}", remedy)
    if not x.is_floating_point():
        raise InputError(name, x.dtype, "not a floating-point dtype", "Convert it, with x.float()")
    if x.device != matrix.value.device:
        device = matrix.value.device
        raise InputError(name, x.device, f"the matrix is on {device}", "Move one to the other")
