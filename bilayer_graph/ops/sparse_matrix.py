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
        return self.row_t.index_select(0, self.perm)  # not [perm]: ONNX indexes with int64 only

    @property
    def edge_index(self) -> Tensor:
        """Column and row of each entry, as PyG has source and target, int64 ``[2, E]``."""
        return torch.stack([self.col, self.row]).long()

    def to_dense(self) -> Tensor:
        """Return the matrix as a tensor ``[M, N]``; entries at one place add up."""
        column, row = self.edge_index
        return self.value.new_zeros(self.size).index_put((row, column), self.value, accumulate=True)

    def t(self) -> "SparseMatrix":
        """Return the transpose ``[N, M]``, whose values carry their gradient."""
        return SparseMatrix(
            rowptr=self.rowptr_t,
            col=self.row_t,
            value=self.value.index_select(0, self.perm_t),
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
    check_edges(edge_index, edge_weight, size)
    num_sources, num_targets = size
    source, target = edge_index
    if edge_weight is None:
        edge_weight = torch.ones(source.numel(), device=source.device)
    # In int64: of int32 nodes the product overflows from 2^31 pairs on.
    order = (target.long() * num_sources + source).argsort(stable=True)
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


def check_edges(edge_index: Tensor, edge_weight: Tensor | None, size: tuple[int, int]) -> None:
    """Raise :class:`InputError` unless edges are ``[2, E]``, inside the graph and fit the weights.

    Whether they are inside is not checked where the edges cannot be read, see :func:`readable`.

    Args:
        edge_index: Source and target of each edge, shape ``[2, E]``.
        edge_weight: Weight of each edge, shape ``[E]``, or ``None``.
        size: Number of source and of target nodes.
    """
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        remedy = "Give sources and targets as one tensor of shape [2, E]"
        raise InputError("edge_index", list(edge_index.shape), "not a list of edges", remedy)
    if edge_index.is_floating_point():
        remedy = "Give node numbers as an integer tensor"
        raise InputError("edge_index", edge_index.dtype, "not a list of edges", remedy)
    number = edge_index.size(1)
    if edge_weight is not None:
        check_weights(edge_weight, number)
    if number and readable(edge_index):
        _check_nodes(edge_index, size)


def check_weights(edge_weight: Tensor, number: int) -> None:
    """Raise :class:`InputError` unless there is one weight for each of a number of edges."""
    if edge_weight.shape != (number,):
        shape, remedy = list(edge_weight.shape), "Give one weight an edge, of shape [E]"
        raise InputError("edge_weight", shape, f"there are {number} edges", remedy)


def readable(edge_index: Tensor) -> bool:
    """Return whether a check may look at edges: not while a graph is compiled or captured."""
    if torch.compiler.is_compiling():
        return False
    return not (edge_index.is_cuda and torch.cuda.is_current_stream_capturing())


def _check_nodes(edge_index: Tensor, size: tuple[int, int]) -> None:
    lowest, highest = (bound.tolist() for bound in edge_index.aminmax(dim=1))

    def inside(end: int, number: int) -> bool:
        return lowest[end] >= 0 and highest[end] < number

    for end, name in enumerate(("source", "target")):
        if not inside(end, size[end]):
            remedy = "Give edges between nodes of the graph, as (source, target)"
            if inside(0, size[1]) and inside(1, size[0]):
                remedy += "; these would fit swapped: edge_index.flip(0)"
            nodes = f"{name} nodes {lowest[end]}..{highest[end]}"
            problem = f"the graph has {size[end]} {name} nodes"
            raise InputError("edge_index", nodes, problem, remedy)


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
