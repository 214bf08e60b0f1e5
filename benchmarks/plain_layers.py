"""Our layers in plain torch, over the same parameters: what the package's operations gain."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bilayer_graph.nn import BidirectionalFusionConv, GraphConv, GroupNorm, Linear
from bilayer_graph.nn.group_norm import CHANNELS_PER_GROUP
from bilayer_graph.ops import SparseMatrix

Pair = tuple[Tensor, Tensor]


def in_plain_torch(module: nn.Module) -> nn.Module:
    """Return a copy of a module whose layers call torch's own functions; it shares parameters."""
    shared = {id(parameter): parameter for parameter in module.parameters()}
    return _replaced(copy.deepcopy(module, shared))


def _replaced(module: nn.Module) -> nn.Module:
    for kind, twin in _TWINS.items():
        if type(module) is kind:
            return twin(module)
    for name, child in module.named_children():
        setattr(module, name, _replaced(child))
    return module


def _linear(layer: Any) -> nn.Linear:
    twin = nn.Linear(layer.in_channels, layer.out_channels, bias=layer.bias is not None)
    twin.weight, twin.bias = layer.weight, layer.bias
    return twin


class PlainGroupNorm(nn.Module):
    """``F.group_norm`` with the channels first, and the ReLU."""

    def __init__(self, norm: GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps, self.relu = norm.weight, norm.bias, norm.eps, norm.relu

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        """Return the normalised features, ``[B, N, C]`` as they came."""
        groups = x.size(2) // CHANNELS_PER_GROUP
        out = F.group_norm(x.transpose(1, 2), groups, self.weight, self.bias, self.eps)
        return (out.relu() if self.relu else out).transpose(1, 2)


class PlainGraphConv(nn.Module):
    """``A X W + b`` by ``F.embedding_bag`` over copies of the graph, indices ready."""

    def __init__(self, conv: GraphConv) -> None:
        super().__init__()
        self.lin, self.bias = _linear(conv.lin), conv.bias
        self._ready: dict[tuple[int, int], tuple[Tensor, ...]] = {}

    def forward(self, x: tuple[Tensor, Any], matrix: SparseMatrix, *_: Any) -> Tensor:
        """Return the new features, ``[B, N, C]``."""
        hidden = self.lin(x[0])
        batch, nodes, channels = hidden.shape
        if (batch, nodes) not in self._ready:
            self._ready[batch, nodes] = _bags(matrix, batch)
        index, starts, value = self._ready[batch, nodes]
        rows = hidden.reshape(batch * nodes, channels)
        out = F.embedding_bag(index, rows, starts, mode="sum", per_sample_weights=value)
        return out.view(batch, nodes, channels) + self.bias


def _bags(matrix: SparseMatrix, batch: int) -> tuple[Tensor, ...]:
    entries, (rows, columns) = matrix.col.numel(), matrix.shape
    copies = torch.arange(batch).unsqueeze(1)
    index = (matrix.col + copies * columns).flatten().long()
    starts = (matrix.rowptr[:rows] + copies * entries).flatten().long()
    return index, starts, matrix.value.repeat(batch)


class PlainFusion(nn.Module):
    """Both directions over a complete bipartite graph by ``torch.bmm``, RowNorm by division."""

    prior: Tensor

    def __init__(self, conv: BidirectionalFusionConv) -> None:
        super().__init__()
        self.edges = conv.edges
        self.lin, self.bias, self.weight = _linear(conv.lin), conv.bias, conv.edge_weight
        self.register_buffer("prior", conv.edges.prior().to_dense(), persistent=False)

    def forward(self, x: Pair) -> Pair:
        """Return the new features of both graphs."""
        onward, back = (self.prior * weight.view_as(self.prior) for weight in self.weight.unbind())
        to_second, to_first = (
            each / each.abs().sum(1, keepdim=True) for each in (onward, back.t())
        )
        return self._product(to_first, x[1]), self._product(to_second, x[0])

    def _product(self, weight: Tensor, x: Tensor) -> Tensor:
        adjacency = weight / weight.abs().sum(1, keepdim=True)
        return torch.bmm(adjacency.expand(x.size(0), -1, -1), self.lin(x)) + self.bias


_TWINS: dict[type, Callable[[Any], nn.Module]] = {
    Linear: _linear,
    GroupNorm: PlainGroupNorm,
    GraphConv: PlainGraphConv,
    BidirectionalFusionConv: PlainFusion,
}
