"""The largest of the tensors that a piece of code builds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Watch(TorchDispatchMode):
    numel = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        # An expanded tensor has many elements and little memory.
        sizes = [
            leaf.untyped_storage().nbytes() // leaf.element_size()
            for leaf in tree_leaves(out)
            if isinstance(leaf, torch.Tensor) and leaf.layout == torch.strided
        ]
        self.numel = max([self.numel, *sizes])
        return out


@contextmanager
def largest_output() -> Iterator[_Watch]:
    """Record the largest tensor that any operation inside the context returns.

    Backward passes count if they are run inside. The result is in elements:

        with largest_output() as largest:
            layer(x)
        assert largest.numel < limit
    """
    with _Watch() as watch:
        yield watch
