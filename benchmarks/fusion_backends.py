"""The ways of fusing the features of joints and of vertices, each ready to run.

The work is ``A_f = RowNorm(A_fs * W_f)`` and its products, to the joints and to the vertices. What
is fixed (edges, the prior ``A_fs``, the nearest joints) is prepared here, before anything is timed.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import scatter

from bilayer_graph.graphs import fusion_graph
from bilayer_graph.ops import fusion_product, row_norm, sparse_matrix, spmm

OURS, SPARSE = "ours", "ours, 3 nearest joints"
MATMUL, BMM = "two matmuls, A_f ready", "two bmm, A_f ready"
MESSAGES, AVERAGE, MAXIMUM = "PyG message passing", "average pooling", "max pooling"

Pair = tuple[Tensor, Tensor]
"""Of the joints ``[B, N_s, C]`` and of the vertices ``[B, N_m, C]``."""


class Fusion(NamedTuple):
    """A way of fusing.

    Attributes:
        run: From the features of joints and vertices to new ones.
        weights: Its learnable weights.
    """

    run: Callable[[Pair], Pair]
    weights: list[Tensor]


def backends(joints: Tensor, vertices: Tensor, dtype: torch.dtype) -> dict[str, Fusion]:
    """Return every way for these template joints ``[N_s, 3]`` and vertices ``[N_m, 3]``."""
    size = joints.size(0), vertices.size(0)
    edges, prior = fusion_graph(joints, vertices)
    by_vertex = prior.view(size[::-1])
    nearest = by_vertex.argmax(dim=1)
    return {
        OURS: ours(edges, prior, size),
        SPARSE: ours(*fusion_graph(joints, vertices, k=3), size),
        MATMUL: matmuls(by_vertex, dtype, torch.matmul),
        BMM: matmuls(by_vertex, dtype, expanded_bmm),
        MESSAGES: messages(edges, prior, size),
        AVERAGE: pooling(nearest, size[0], "mean"),
        MAXIMUM: pooling(nearest, size[0], "max"),
    }


def ours(edge_index: Tensor, prior: Tensor, size: tuple[int, int]) -> Fusion:
    """Return what the fusion convolution computes between its linear layers."""
    weight = torch.ones_like(prior).repeat(2, 1).requires_grad_()
    matrices = (
        sparse_matrix(edge_index, prior, size),
        sparse_matrix(edge_index.flip(0), prior, size[::-1]),
    )
    complete = prior.numel() == size[0] * size[1]

    def product(direction: int, x: Tensor) -> Tensor:
        matrix, order = matrices[direction]
        value = matrix.value * weight[direction].index_select(0, order)
        value = row_norm(value, matrix.rowptr)
        if complete:
            return fusion_product(value.view(matrix.shape), x)
        return spmm(matrix._replace(value=value), x)

    return Fusion(lambda x: (product(1, x[1]), product(0, x[0])), [weight])


def matmuls(prior: Tensor, dtype: torch.dtype, product: Callable[..., Tensor]) -> Fusion:
    """Return the two products over adjacencies that are there already; the prior ``[N_m, N_s]``."""
    to_vertices = (prior / prior.sum(1, keepdim=True)).to(dtype).requires_grad_()
    to_joints = (prior.t() / prior.t().sum(1, keepdim=True)).to(dtype).requires_grad_()
    return Fusion(
        lambda x: (product(to_joints, x[1]), product(to_vertices, x[0])), [to_vertices, to_joints]
    )


def expanded_bmm(adjacency: Tensor, x: Tensor) -> Tensor:
    """Return one product an item; ``adjacency @ x`` copies ``x`` to make it one product."""
    return torch.bmm(adjacency.expand(x.size(0), -1, -1), x)


def messages(edge_index: Tensor, prior: Tensor, size: tuple[int, int]) -> Fusion:
    """Return PyG's way: a message for each of the ``N_s N_m`` pairs, in each direction."""
    weight = torch.ones_like(prior).repeat(2, 1).requires_grad_()
    conv = _Messages()
    back = edge_index.flip(0)

    def run(x: Pair) -> Pair:
        to_vertices = conv((x[0], x[1]), edge_index, prior * weight[0], size)
        to_joints = conv((x[1], x[0]), back, prior * weight[1], size[::-1])
        return to_joints, to_vertices

    return Fusion(run, [weight])


def pooling(nearest: Tensor, num_joints: int, reduce: str) -> Fusion:
    """Return the paper's ablation: each vertex belongs to its nearest joint, ``[N_m]``.

    A joint gets the mean or the maximum of its vertices, a vertex the features of its joint.
    """

    def run(x: Pair) -> Pair:
        to_joints = scatter(x[1], nearest, dim=1, dim_size=num_joints, reduce=reduce)
        return to_joints, x[0].index_select(1, nearest)

    return Fusion(run, [])


class _Messages(MessagePassing):
    def __init__(self) -> None:
        super().__init__(aggr="add", node_dim=-2)

    def forward(self, x: Pair, edge_index: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
        total = scatter(weight.abs(), edge_index[1], dim_size=size[1])
        weight = (weight / total[edge_index[1]]).to(x[0].dtype)
        out: Tensor = self.propagate(edge_index, x=x, weight=weight, size=size)
        return out

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        return weight.unsqueeze(-1) * x_j
