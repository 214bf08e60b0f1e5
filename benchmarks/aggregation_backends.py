"""The ways of multiplying one sparse adjacency with a batch of features, each at its best.

A backend takes a problem and returns the product, ready to call, with the layout of its features.
Everything that a user of a fixed topology would do once (indices, transposes, block-diagonal
copies, compilation, the layout of the features) is done here, before anything is timed.
"""

from typing import Any

import torch
import torch.nn.functional as F
from aggregation_gathers import compiled_by_degree, compiled_gather, compiled_index_add
from aggregation_problem import Backend, Layout, Problem, Product, arrange
from torch import Tensor

from bilayer_graph.ops import sparse_matrix, spmm

OURS, DENSE, FLOOR = "ours", "dense matmul", "copy"


def ours(problem: Problem) -> Product:
    """Run this package."""
    size = (problem.num_nodes, problem.num_nodes)
    edge_index = torch.stack([problem.source, problem.target])
    matrix, _ = sparse_matrix(edge_index, problem.weight, size)
    return lambda x: spmm(matrix, x)


def dense(problem: Problem) -> Product:
    """Run a plain matrix product with the adjacency ``[N, N]``."""
    adjacency = _dense(problem)
    return lambda x: adjacency @ x


def torch_sparse_csr(problem: Problem) -> Product:
    """Run ``torch.sparse`` in compressed rows."""
    adjacency = _csr(problem)
    return lambda x: adjacency @ x


def torch_sparse_coo(problem: Problem) -> Product:
    """Run ``torch.sparse`` in coordinates, coalesced."""
    adjacency = _coo(problem)
    return lambda x: torch.sparse.mm(adjacency, x)


def embedding_bag(problem: Problem) -> Product:
    """Run ``F.embedding_bag``: an embedding is a row of the features, a bag a row of ``A``."""
    source, rowptr = problem.source.int(), problem.rowptr.int()
    weight = problem.weight
    return lambda x: F.embedding_bag(
        source, x, rowptr, mode="sum", per_sample_weights=weight, include_last_offset=True
    )


def embedding_bag_block_diagonal(problem: Problem) -> Product:
    """Run ``F.embedding_bag`` over ``B`` copies of the graph."""
    return embedding_bag(problem.block_diagonal())


def graph_conv(problem: Problem) -> Product:
    """Run PyG's ``GraphConv``: its ``propagate``, without the linear layers around it."""
    from torch_geometric.nn import GraphConv

    layer = GraphConv(1, 1, bias=False).to(problem.weight.device)
    edge_index = torch.stack([problem.source, problem.target])
    return lambda x: layer.propagate(edge_index, x=(x, x), edge_weight=problem.weight)


def graph_conv_block_diagonal(problem: Problem) -> Product:
    """Run PyG's ``GraphConv`` on PyG's usual batch, a disjoint union."""
    return graph_conv(problem.block_diagonal())


def gcn_conv(problem: Problem) -> Product:
    """Run PyG's ``GCNConv``: its ``propagate`` of ready weights, without the linear layer."""
    from torch_geometric.nn import GCNConv

    layer = GCNConv(1, 1, normalize=False, bias=False).to(problem.weight.device)
    edge_index = torch.stack([problem.source, problem.target])
    return lambda x: layer.propagate(edge_index, x=x, edge_weight=problem.weight)


def gcn_conv_block_diagonal(problem: Problem) -> Product:
    """Run PyG's ``GCNConv`` on PyG's usual batch, a disjoint union."""
    return gcn_conv(problem.block_diagonal())


def pyg_edge_index(problem: Problem) -> Product:
    """Run PyG's ``EdgeIndex``, sorted by row, with its caches filled."""
    from torch_geometric import EdgeIndex

    adjacency = EdgeIndex(
        torch.stack([problem.target, problem.source]),
        sparse_size=_size(problem),
        sort_order="row",
    ).fill_cache_()
    return lambda x: adjacency.matmul(x, input_value=problem.weight)


def adj_t_csr(problem: Problem) -> Product:
    """Run PyG's ``GCNConv`` with an ``adj_t`` in compressed rows, which it multiplies with."""
    from torch_geometric.nn import GCNConv

    layer = GCNConv(1, 1, normalize=False, bias=False).to(problem.weight.device)
    adjacency = _csr(problem)
    return lambda x: layer.propagate(adjacency, x=x, edge_weight=None)


def scatter_segment_csr(problem: Problem) -> Product:
    """Run torch-scatter: gather and weigh messages, then sum them over the rows of a CSR."""
    from torch_scatter import segment_csr

    rowptr = problem.rowptr.expand(problem.batch, -1)
    weight = problem.weight.unsqueeze(-1)
    return lambda x: segment_csr(x.index_select(1, problem.source) * weight, rowptr)


def pyg_lib_segment_csr(problem: Problem) -> Product:
    """Run pyg-lib, which took over torch-scatter's functions."""
    from pyg_lib.ops import segment_csr

    rowptr, weight = problem.rowptr, problem.weight.unsqueeze(-1)
    return lambda x: segment_csr(x.index_select(0, problem.source) * weight, rowptr)


def sparse_tensor(problem: Problem) -> Product:
    """Run torch-sparse's ``SparseTensor``, with its caches filled."""
    import torch_sparse

    adjacency = torch_sparse.SparseTensor(
        rowptr=problem.rowptr,
        col=problem.source,
        value=problem.weight,
        sparse_sizes=_size(problem),
        is_sorted=True,
    ).fill_cache_()
    return lambda x: torch_sparse.matmul(adjacency, x)


def loop_over_batch(problem: Problem) -> Product:
    """Run a Python loop with one ``torch.sparse.mm`` an item, as GraphCMR does it."""
    adjacency = _coo(problem)
    return lambda x: torch.stack([torch.sparse.mm(adjacency, features) for features in x])


def anemoi_projector(problem: Problem) -> Product:
    """Run one ``torch.sparse.mm`` for the batch, with nodes first and back, as anemoi projects."""
    adjacency = _coo(problem)

    def product(x: Tensor) -> Tensor:
        out: Tensor = torch.sparse.mm(adjacency, arrange(x, Layout.NODES_FIRST))
        return out.view(len(out), len(x), -1).transpose(0, 1)

    return product


def copy(problem: Problem) -> Product:
    """Copy the features: no aggregation, but nothing that writes such an output is faster."""
    product: Product = _Copy.apply
    return product


BACKENDS = {
    OURS: Backend(ours, Layout.BATCH_FIRST),
    DENSE: Backend(dense, Layout.BATCH_FIRST),
    "torch.sparse CSR": Backend(torch_sparse_csr, Layout.NODES_FIRST),
    "torch.sparse COO": Backend(torch_sparse_coo, Layout.NODES_FIRST),
    "embedding_bag": Backend(embedding_bag, Layout.NODES_FIRST),
    "embedding_bag block-diagonal": Backend(embedding_bag_block_diagonal, Layout.STACKED),
    "PyG GraphConv block-diagonal": Backend(graph_conv_block_diagonal, Layout.STACKED),
    "PyG GraphConv node_dim=-2": Backend(graph_conv, Layout.BATCH_FIRST),
    "PyG GCNConv block-diagonal": Backend(gcn_conv_block_diagonal, Layout.STACKED),
    "PyG GCNConv node_dim=-2": Backend(gcn_conv, Layout.BATCH_FIRST),
    "PyG EdgeIndex": Backend(pyg_edge_index, Layout.NODES_FIRST),
    "PyG GCNConv adj_t CSR": Backend(adj_t_csr, Layout.NODES_FIRST),
    "pyg-lib segment_csr": Backend(pyg_lib_segment_csr, Layout.NODES_FIRST, "pyg-lib", "pyg_lib"),
    "torch-scatter segment_csr": Backend(
        scatter_segment_csr, Layout.BATCH_FIRST, "torch-scatter", "torch_scatter"
    ),
    "torch-sparse SparseTensor": Backend(
        sparse_tensor, Layout.NODES_FIRST, "torch-sparse", "torch_sparse"
    ),
    "GraphCMR loop": Backend(loop_over_batch, Layout.BATCH_FIRST),
    "anemoi projector": Backend(anemoi_projector, Layout.BATCH_FIRST),
    "torch.compile gather": Backend(compiled_gather, Layout.NODES_FIRST),
    "torch.compile by degree": Backend(compiled_by_degree, Layout.NODES_FIRST),
    "torch.compile index_add": Backend(compiled_index_add, Layout.NODES_FIRST),
    FLOOR: Backend(copy, Layout.BATCH_FIRST),
}


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0].clone()


def _size(problem: Problem) -> tuple[int, int]:
    return problem.num_nodes, problem.num_nodes


def _dense(problem: Problem) -> Tensor:
    adjacency = problem.weight.new_zeros(_size(problem))
    return adjacency.index_put_((problem.target, problem.source), problem.weight, accumulate=True)


def _coo(problem: Problem) -> Tensor:
    index = torch.stack([problem.target, problem.source])
    return torch.sparse_coo_tensor(index, problem.weight, _size(problem)).coalesce()


def _csr(problem: Problem) -> Tensor:
    return torch.sparse_csr_tensor(
        problem.rowptr.int(), problem.source.int(), problem.weight, _size(problem)
    )
