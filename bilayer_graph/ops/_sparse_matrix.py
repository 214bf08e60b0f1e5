"""A sparse matrix in compressed rows, together with its transpose for the backward pass."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import check_edges, readable
from bilayer_graph.ops.block_diagonal import keep_copies

if TYPE_CHECKING:
    import scipy.sparse


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
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.rowptr.numel() - 1, self.rowptr_t.numel() - 1

    def size(self) -> tuple[int, int]:
        """Return the shape, as a tensor does."""
        return self.shape

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
        dense = self.value.new_zeros(self.shape)
        return dense.index_put((row, column), self.value, accumulate=True)

    def to_torch(self) -> Tensor:
        """Return the matrix as a sparse CSR tensor ``[M, N]``; its values carry their gradient."""
        # torch takes pointers and columns of one dtype; its products on a CPU take int64 only.
        pointers = self.rowptr.long(), self.col.long()
        return torch.sparse_csr_tensor(*pointers, self.value, self.shape, check_invariants=False)

    def to_scipy(self) -> "scipy.sparse.csr_array":
        """Return the matrix as a SciPy CSR array ``[M, N]``, a copy on the CPU."""
        from scipy.sparse import csr_array

        tensors = _numpy(self.value), self.col, self.rowptr
        arrays = tuple(tensor.detach().cpu().numpy().copy() for tensor in tensors)
        return csr_array(arrays, shape=self.shape)

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

    def __repr__(self) -> str:
        entries, dtype = self.value.numel(), str(self.value.dtype).removeprefix("torch.")
        device = "" if self.value.device.type == "cpu" else f", device={self.value.device}"
        return f"{type(self).__name__}({self.shape}, entries={entries}, {dtype}{device})"


MATRIX = ", ".join(f"Tensor {name}" for name in SparseMatrix._fields)
"""The fields as the arguments of an operation: it is called with ``*matrix``."""


def _numpy(value: Tensor) -> Tensor:
    """Return values in a dtype that NumPy has."""
    return value.float() if value.dtype == torch.bfloat16 else value


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
    if isinstance(edge_index, EdgeIndex):
        edge_index = edge_index.as_tensor()
    check_edges("edge_index", edge_index, edge_weight, size)
    return compress_edges(edge_index.long(), edge_weight, size)


def compress_edges(
    edge_index: Tensor, edge_weight: Tensor | None, size: tuple[int, int]
) -> tuple[SparseMatrix, Tensor]:
    """Do what :func:`sparse_matrix` does with checked int64 edges."""
    num_sources, num_targets = size
    source, target = edge_index
    if edge_weight is None:
        edge_weight = torch.ones(source.numel(), device=source.device)
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


def _pointer(index: Tensor, number: int) -> Tensor:
    count = torch.bincount(index, minlength=number)
    return torch.cat([count.new_zeros(1), count.cumsum(0)]).int()


def check_features(name: str, x: Tensor, side: str, number: int, matrix: SparseMatrix) -> None:
    """Raise an :class:`InputError` unless features have one node for each row or column."""
    _check_entries(matrix)
    if x.dim() not in (2, 3) or x.size(-2) != number:
        remedy = f"Give features of shape [{number}, C] or [B, {number}, C]"
        raise InputError(name, list(x.shape), f"the matrix has {number} {side}", remedy)
    if not x.is_floating_point():
        raise InputError(name, x.dtype, "not a floating-point dtype", "Convert it, with x.float()")
    if x.device != matrix.value.device:
        device = matrix.value.device
        raise InputError(name, x.device, f"the matrix is on {device}", "Move one to the other")


def _check_entries(matrix: SparseMatrix) -> None:
    """Raise an :class:`InputError` unless the tensors are those of one matrix."""
    if torch.jit.is_tracing():
        return
    numbers = {
        name: tensor.numel()
        for name, tensor in matrix._asdict().items()
        if name not in ("rowptr", "rowptr_t")
    }
    if 0 in (matrix.rowptr.numel(), matrix.rowptr_t.numel()):
        numbers["rowptr"] = 0
    elif matrix.rowptr.is_cpu and readable(matrix.rowptr):
        numbers["rowptr[-1]"] = int(matrix.rowptr[-1])
    if len(set(numbers.values())) > 1:
        raise InputError("matrix", numbers, "not one matrix", "Make it with ops.sparse_matrix")
