"""Reductions over the rows of a sparse matrix, and back, in plain torch."""

import torch
from torch import Tensor

from bilayer_graph.graphs.check import readable
from bilayer_graph.ops.library import needs_plain_torch


class Rows:
    """The rows that entries ``[E]`` fall into.

    Args:
        rowptr: Where each row starts, ``[M + 1]``.
        entries: Their number :math:`E`.
    """

    def __init__(self, rowptr: Tensor, entries: int) -> None:
        self.rowptr = rowptr
        self.entries = entries
        self.length = regular_length(rowptr, entries)

    def sum(self, value: Tensor) -> Tensor:
        """Sum the entries of each row: ``[E]`` to ``[M]``, without atomic additions."""
        if self.length is not None:
            return value.reshape(-1, self.length).sum(dim=1)
        if needs_plain_torch():
            return value.new_zeros(self.rowptr.numel() - 1).index_add(0, self._row(), value)
        return torch.segment_reduce(value.contiguous(), "sum", offsets=self.rowptr)

    def max(self, value: Tensor) -> Tensor:
        """Return the largest entry of each row: ``[E]`` to ``[M]``."""
        if self.length is not None:
            return value.reshape(-1, self.length).amax(dim=1)
        if needs_plain_torch():
            lowest = value.new_full((self.rowptr.numel() - 1,), torch.finfo(value.dtype).min)
            return lowest.scatter_reduce(0, self._row(), value, "amax")
        return torch.segment_reduce(value.contiguous(), "max", offsets=self.rowptr)

    def spread(self, total: Tensor) -> Tensor:
        """Give each entry its row's number: ``[M]`` to ``[E]``."""
        if self.length is not None:
            return total.unsqueeze(1).expand(-1, self.length).reshape(-1)
        if needs_plain_torch():
            return total[self._row()]
        return total.repeat_interleave(self.rowptr.diff(), output_size=self.entries)

    def _row(self) -> Tensor:
        # No segments here: count the rows that have started; empty ones start together.
        starts = self.rowptr[1:-1].long()
        ones = starts.new_ones(self.rowptr.numel() - 2)
        started = starts.new_zeros(self.entries + 1).index_add(0, starts, ones)
        return started.cumsum(0)[:-1]


def regular_length(rowptr: Tensor, entries: int) -> int | None:
    """Return how many entries every row has, if all have as many, as in a complete graph.

    On a CPU only: there, segments of any length take several times as long.
    """
    rows = rowptr.numel() - 1
    if rows < 1 or entries < rows or entries % rows or not (rowptr.is_cpu and readable(rowptr)):
        return None
    length = entries // rows
    regular = torch.arange(0, entries + 1, length, dtype=rowptr.dtype)
    return length if torch.equal(rowptr, regular) else None
