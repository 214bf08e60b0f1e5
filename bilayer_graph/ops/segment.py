"""Reductions over the rows of a sparse matrix, and back, in plain torch."""

import torch
from torch import Tensor

from bilayer_graph.ops.library import needs_plain_torch


def segment_sum(value: Tensor, rowptr: Tensor) -> Tensor:
    """Sum the entries of each row: ``[E]`` to ``[M]``, without atomic additions."""
    if needs_plain_torch():
        return value.new_zeros(rowptr.numel() - 1).index_add(0, _row(value, rowptr), value)
    return torch.segment_reduce(value.contiguous(), "sum", offsets=rowptr)


def segment_max(value: Tensor, rowptr: Tensor) -> Tensor:
    """Return the largest entry of each row: ``[E]`` to ``[M]``."""
    if needs_plain_torch():
        lowest = value.new_full((rowptr.numel() - 1,), torch.finfo(value.dtype).min)
        return lowest.scatter_reduce(0, _row(value, rowptr), value, "amax")
    return torch.segment_reduce(value.contiguous(), "max", offsets=rowptr)


def spread(total: Tensor, rowptr: Tensor, like: Tensor) -> Tensor:
    """Give each entry its row's number: ``[M]`` to ``[E]``, as many as ``like`` has."""
    if needs_plain_torch():
        return total[_row(like, rowptr)]
    return total.repeat_interleave(rowptr.diff(), output_size=like.numel())


def _row(value: Tensor, rowptr: Tensor) -> Tensor:
    # No segments here: count the rows that have started; empty ones start together.
    starts = rowptr[1:-1].long()
    ones = starts.new_ones(rowptr.numel() - 2)
    started = starts.new_zeros(value.numel() + 1).index_add(0, starts, ones)
    return started.cumsum(0)[:-1]
