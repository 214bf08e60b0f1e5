"""The ways of gathering neighbours that ``torch.compile`` makes one kernel of."""

from collections.abc import Callable
from typing import Any

import torch
from aggregation_problem import Problem, Product
from torch import Tensor


def compiled_gather(problem: Problem) -> Product:
    """Gather the padded neighbours and sum, fused by ``torch.compile``, forward and backward."""
    return _both_ways(_gather_sum, _padded(problem), _padded(problem.transposed()))


def compiled_by_degree(problem: Problem) -> Product:
    """Add one neighbour after the other to all nodes of a degree at once, without padding."""
    return _both_ways(_add_up, _by_degree(problem), _by_degree(problem.transposed()))


def compiled_index_add(problem: Problem) -> Product:
    """Gather, weight and ``index_add`` in one graph, with the backward that autograd derives."""

    def product(x: Tensor) -> Tensor:
        messages = x.index_select(0, problem.source) * problem.weight.unsqueeze(-1)
        return torch.zeros_like(x).index_add(0, problem.target, messages)

    return torch.compile(product, dynamic=False, fullgraph=True)


def _both_ways(
    gather: Callable[..., Tensor], forward: tuple[Any, ...], backward: tuple[Any, ...]
) -> Product:
    """Compile a gather; its backward pass is the same over the transpose."""
    compiled = torch.compile(gather, dynamic=False, fullgraph=True)

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return compiled(x, *forward)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            return compiled(grads[0], *backward)

    product: Product = Gather.apply
    return product


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


def _by_degree(problem: Problem) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """Return for a degree its nodes ``[M]``, their sources ``[K, M]`` and weights ``[K, M, 1]``."""
    rowptr, groups = problem.rowptr, []
    degrees = rowptr.diff()
    for degree in degrees.unique().tolist():
        nodes = (degrees == degree).nonzero().flatten()
        place = rowptr[nodes] + torch.arange(degree, device=nodes.device).unsqueeze(1)
        groups.append((nodes, problem.source[place], problem.weight[place].unsqueeze(-1)))
    return tuple(groups)


def _add_up(x: Tensor, *groups: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    out = torch.empty_like(x)
    for nodes, index, weight in groups:
        terms = (x[i] * w for i, w in zip(index, weight, strict=True))
        out[nodes] = sum(terms, start=x.new_zeros(()))
    return out
