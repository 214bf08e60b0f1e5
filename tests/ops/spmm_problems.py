"""Sparse matrices of every kind, for the tests of the sparse products and of their kernels."""

import torch

from bilayer_graph.ops import sparse_matrix
from bilayer_graph.testing import random_graph, sample_features, to_dense

# (source nodes, target nodes), edges, batch, channels
PROBLEMS = {
    "square": ((7, 7), 23, 3, 5),
    "wide": ((13, 4), 31, 2, 17),
    "tall": ((3, 19), 20, 5, 1),
    "long rows": ((97, 3), 211, 2, 9),
    "empty rows": ((11, 11), 4, 2, 6),
    "one node": ((1, 1), 1, 4, 3),
    "no edges": ((5, 6), 0, 2, 3),
    "no items": ((5, 6), 9, 0, 3),
    "no channels": ((5, 6), 9, 2, 0),
    "no sources": ((0, 6), 0, 2, 3),
    "no targets": ((5, 0), 0, 2, 3),
    "complete": ((6, 5), 30, 1, 33),
    "middle": ((41, 37), 301, 2, 65),
    "large": ((431, 433), 3001, 2, 65),
}
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
INDEX_DTYPES = [torch.int32, torch.int64]


def problem(name, dtype=torch.float32, device="cpu", index=torch.int32):
    """A matrix, the same as a dense float64 tensor, and features for both of its sides."""
    size, num_edges, batch, channels = PROBLEMS[name]
    edge_index, weight = random_graph(size, num_edges, seed=1, dtype=dtype)
    right = sample_features(batch, size[0], channels, seed=2, dtype=dtype)
    left = sample_features(batch, size[1], channels, seed=3, dtype=dtype)
    matrix, _ = sparse_matrix(edge_index.to(device), weight.to(device), size)
    matrix = matrix._make(t if t.is_floating_point() else t.to(index) for t in matrix)
    return matrix, to_dense(edge_index, weight, size), _guard(left, device), _guard(right, device)


def _guard(x, device):
    """The same features, with NaN behind the last item: who reads too far shows."""
    behind = x.new_full((1, *x.shape[1:]), torch.nan)
    return torch.cat([x, behind]).to(device)[:-1]


def dense_products(matrix, left, right):
    """What sddmm computes, through the dense product of all rows with all columns, in float64."""
    everywhere = torch.einsum("bmc,bnc->mn", left.detach().cpu().double(), right.cpu().double())
    return everywhere[matrix.row.cpu(), matrix.col.cpu()]
