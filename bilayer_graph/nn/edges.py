"""Every form in which PyG hands over edges."""

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj, OptTensor, SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from bilayer_graph.errors import InputError


def edge_list(
    edge_index: Adj, edge_weight: OptTensor = None
) -> tuple[Tensor, OptTensor, tuple[int, int] | None]:
    """Return edges as a plain list.

    Args:
        edge_index: ``[2, E]`` (source, target) as a tensor or an ``EdgeIndex``, or a ``[M, N]``
            adjacency with targets as rows, a ``torch_sparse.SparseTensor`` or torch sparse tensor.
        edge_weight: Weight of each edge, ``[E]``; an adjacency brings its own.

    Returns:
        ``edge_index`` as a plain tensor, the weights or ``None``, and the number of source and of
        target nodes where the input says it.

    Raises:
        InputError: If it is none of these.
    """
    if not isinstance(edge_weight, Tensor | None):
        remedy = "Give one weight an edge, as a tensor of shape [E]"
        raise InputError("edge_weight", type(edge_weight).__name__, "not a tensor", remedy)
    if isinstance(edge_index, SparseTensor):
        target, source, value = edge_index.coo()
        size = (edge_index.size(1), edge_index.size(0))
        return torch.stack([source, target]), value if edge_weight is None else edge_weight, size
    if is_torch_sparse_tensor(edge_index):
        entries = edge_index.to_sparse_coo().coalesce()
        value = entries.values() if edge_weight is None else edge_weight
        return entries.indices().flip(0), value, (entries.size(1), entries.size(0))
    if isinstance(edge_index, EdgeIndex):
        num_sources, num_targets = edge_index.sparse_size()
        known = num_sources is not None and num_targets is not None
        return edge_index.as_tensor(), edge_weight, (num_sources, num_targets) if known else None
    if not isinstance(edge_index, Tensor):
        remedy = "Give a tensor [2, E], an EdgeIndex or a sparse adjacency"
        raise InputError("edge_index", type(edge_index).__name__, "not edges", remedy)
    return edge_index, edge_weight, None
