"""The ways of multiplying one sparse adjacency with a batch of features, each at its best.

A backend takes a problem and returns the product, ready to call, with the layout of its features.
Everything that a user of a fixed topology would do once (indices, transposes, block-diagonal
copies, compilation, the layout of the features) is done here, before anything is timed.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.ops import sparse_matrix, spmm

OURS, DENSE, FLOOR = "ours", "dense matmul", "copy"


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
    adjacency = torch.sparse_csr_tensor(
        problem.rowptr.int(), problem.source.int(), problem.weight, _size(problem)
    )
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


def segment_csr(problem: Problem) -> Product:
    """Run torch-scatter: gather and weigh messages, then sum them over the rows of a CSR."""
    from torch_scatter import segment_csr

    rowptr = problem.rowptr.expand(problem.batch, -1)
    weight = problem.weight.unsqueeze(-1)
    return lambda x: segment_csr(x.index_select(1, problem.source) * weight, rowptr)


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


def compiled_gather(problem: Problem) -> Product:
    """Gather the padded neighbours and sum, fused by ``torch.compile``, forward and backward."""
    gather = torch.compile(_gather_sum, dynamic=False, fullgraph=True)
    forward, backward = _padded(problem), _padded(problem.transposed())

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return gather(x, *forward)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            return gather(grads[0], *backward)

    product: Product = Gather.apply
    return product


def compiled_index_add(problem: Problem) -> Product:
    """Gather, weight and ``index_add`` in one graph, with the backward that autograd derives."""

    def product(x: Tensor) -> Tensor:
        messages = x.index_select(0, problem.source) * problem.weight.unsqueeze(-1)
        return torch.zeros_like(x).index_add(0, problem.target, messages)

    return torch.compile(product, dynamic=False, fullgraph=True)


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
    "torch-scatter segment_csr": Backend(
        segment_csr, Layout.BATCH_FIRST, "torch-scatter", "torch_scatter"
    ),
    "torch-sparse SparseTensor": Backend(
        sparse_tensor, Layout.NODES_FIRST, "torch-sparse", "torch_sparse"
    ),
    "GraphCMR loop": Backend(loop_over_batch, Layout.BATCH_FIRST),
    "torch.compile gather": Backend(compiled_gather, Layout.NODES_FIRST),
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


def _padded(problem: Problem) -> tuple[Tensor, Tensor]:
    """Return the k-th source of each node ``[K, N]`` and its weight ``[K, N, 1]``, 0 if none."""
    rowptr = problem.rowptr
    place = torch.arange(problem.source.numel(), device=rowptr.device) - rowptr[problem.target]
    width = int(rowptr.diff().max())
    index = problem.source.new_zeros(width, problem.num_nodes)
    weight = problem.weight.new_zeros(width, problem.num_nodes, 1)
    index[place, problem.target] = problem.source
    weight[place, problem.target, 0] = problem.weight
    return index, weight


def _gather_sum(x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    # Summing over the first dimension is 25 times faster on a CPU than over the middle one.
    return (x[index] * weight).sum(0)
