"""What one aggregation is made of: a graph, the layout of the features, and a way of doing it."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Layout(Enum):
    """How a backend keeps the features of a batch."""

    BATCH_FIRST = "[B, N, C]"
    STACKED = "[B N, C]"
    NODES_FIRST = "[N, B C]"


class Problem(NamedTuple):
    """A graph and the size of the batch; the edges are sorted by target.

    Attributes:
        source: Source of each edge, shape ``[E]``.
        target: Target of each edge, shape ``[E]``.
        weight: Weight of each edge in the dtype of the features, shape ``[E]``.
        num_nodes: Number of nodes ``N``.
        batch: Number of feature matrices ``B``.
    """

    source: Tensor
    target: Tensor
    weight: Tensor
    num_nodes: int
    batch: int

    @property
    def rowptr(self) -> Tensor:
        """Where each target's edges start, shape ``[N + 1]``."""
        count = torch.bincount(self.target, minlength=self.num_nodes)
        return F.pad(count.cumsum(0), (1, 0))

    def block_diagonal(self) -> "Problem":
        """Return the disjoint union of ``B`` copies of the graph."""
        first = torch.arange(self.batch, device=self.source.device).unsqueeze(1) * self.num_nodes
        return Problem(
            source=(self.source + first).flatten(),
            target=(self.target + first).flatten(),
            weight=self.weight.repeat(self.batch),
            num_nodes=self.num_nodes * self.batch,
            batch=1,
        )

    def transposed(self) -> "Problem":
        """Return the graph with its edges turned round."""
        order = self.source.argsort(stable=True)
        return self._replace(
            source=self.target[order], target=self.source[order], weight=self.weight[order]
        )


Product = Callable[[Tensor], Tensor]


class Backend(NamedTuple):
    """A way of computing ``A X``.

    Attributes:
        build: Prepares the product for a problem.
        layout: Layout of its features and of its output.
        package: The package it needs beside torch and this one, as it is installed.
        module: The name that package is imported by.
    """

    build: Callable[[Problem], Product]
    layout: Layout
    package: str = "torch"
    module: str = "torch"


def arrange(x: Tensor, layout: Layout) -> Tensor:
    """Bring features ``[B, N, C]`` into a layout."""
    if layout is Layout.NODES_FIRST:
        return x.transpose(0, 1).flatten(1).contiguous()
    return x.flatten(0, 1) if layout is Layout.STACKED else x


def item(y: Tensor, layout: Layout, batch: int, index: int) -> Tensor:
    """Return one item of a batch, ``[N, C]``, out of a layout."""
    if layout is Layout.NODES_FIRST:
        return y.view(y.size(0), batch, -1)[:, index]
    return y.view(batch, -1, y.size(-1))[index]
