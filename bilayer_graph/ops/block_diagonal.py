"""A batch as one product: copies of a matrix along a diagonal, for the operations of torch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_FIXED: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
"""The last copies of each tensor that is known to stay as it is; they go with the tensor."""


def keep_copies(*tensors: Tensor) -> None:
    """Keep the last copies of tensors that belong to a fixed matrix.

    The same topology comes with every layer and step, and preparing it takes a fifth of a
    product's time. Only tensors named here are kept: compiled code puts one tensor's numbers into
    another's memory without a trace.
    """
    for tensor in tensors:
        _FIXED[tensor] = None


def block_diagonal(rowptr: Tensor, col: Tensor, columns: int, batch: int) -> tuple[Tensor, Tensor]:
    """Return the indices of ``batch`` copies of a sparse matrix along a diagonal.

    Args:
        rowptr: Where each row starts in ``col``, shape ``[M + 1]``.
        col: Column of each entry, shape ``[E]``.
        columns: Number of columns.
        batch: Number of copies :math:`B`.

    Returns:
        Where each row starts, without the end, ``[B * M]``, and the columns, ``[B * E]``, in the
        dtype of :func:`index_dtype`.
    """
    dtype = index_dtype(rowptr, col, columns, batch)

    def starts() -> Tensor:
        return stack_copies(rowptr[:-1].to(dtype), col.numel(), batch)

    def index() -> Tensor:
        return stack_copies(col.to(dtype), columns, batch)

    key = columns, batch, dtype
    return _kept(rowptr, (col.numel(), *key), starts), _kept(col, key, index)


def index_dtype(rowptr: Tensor, col: Tensor, columns: int, batch: int) -> torch.dtype:
    """Return the one dtype that counts the rows, columns and entries of all copies."""
    largest = batch * max(rowptr.numel() - 1, columns, col.numel())
    wide = largest > torch.iinfo(torch.int32).max
    return torch.int64 if wide else torch.promote_types(rowptr.dtype, col.dtype)


def repeat_value(value: Tensor, dtype: torch.dtype, batch: int) -> Tensor:
    """Return the values of the copies, ``[B * E]``, in a dtype."""
    return _kept(value, (dtype, batch), lambda: torch.cat([value.to(dtype)] * batch))


def _kept(tensor: Tensor, key: tuple[Any, ...], build: Callable[[], Tensor]) -> Tensor:
    # A CUDA graph owns what is allocated during its capture; inference tensors hide their changes.
    if tensor not in _FIXED or tensor.is_cuda or tensor.is_inference() or tensor.requires_grad:
        return build()
    key = (*key, tensor.data_ptr(), tensor._version)
    last: tuple[Any, Tensor] | None = _FIXED[tensor]
    if last is None or last[0] != key:
        last = _FIXED[tensor] = key, build()
    return last[1]


def stack_copies(index: Tensor, step: int, batch: int) -> Tensor:
    """Return ``batch`` copies of indices after each other, each ``step`` above the last."""
    copies = torch.arange(batch, dtype=index.dtype, device=index.device).unsqueeze(1)
    return (index + copies * step).view(-1)
