"""The form of every graph's edges: a PyG ``EdgeIndex`` that knows its sizes and its order."""

from torch import Tensor
from torch_geometric import EdgeIndex


def edges_by_target(edge_index: Tensor, num_sources: int, num_targets: int) -> EdgeIndex:
    """Return edges that are sorted by target as an ``EdgeIndex``.

    Args:
        edge_index: Source and target of each edge, shape ``[2, E]``, sorted by target.
        num_sources: Number of source nodes, also those that no edge touches.
        num_targets: Number of target nodes.
    """
    return EdgeIndex(edge_index, sparse_size=(num_sources, num_targets), sort_order="col")
