"""Whether a graph looks like a disjoint union that nobody said is one."""

import torch
from torch import Tensor


def count_parts(edge_index: Tensor, num_nodes: int) -> int:
    """Count the runs of neighbouring node numbers that no edge leaves, single nodes aside.

    PyG's ``Batch`` puts the nodes of its graphs one after the other, so that a union has one run or
    more for each graph with edges; a graph with its nodes in any other order has one.

    Args:
        edge_index: Source and target of each edge, shape ``[2, E]``.
        num_nodes: Number of nodes.
    """
    low, high = edge_index.amin(dim=0), edge_index.amax(dim=0)
    one = torch.ones_like(low)
    change = torch.zeros(num_nodes + 1, dtype=torch.long, device=low.device)
    crossed = change.index_add(0, low, one).index_add(0, high, -one).cumsum(0) > 0
    starts = crossed & ~crossed.roll(1)
    return int(starts.sum())
