"""Pairs of points of a batch: only those of one graph are linked."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.utils import lexsort

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import check_indices


def pairs_by_graph(
    link: Callable[[Tensor, Tensor], Tensor],
    source: Tensor,
    target: Tensor,
    batch: tuple[Tensor, Tensor],
) -> Tensor:
    """Link the points of each graph of a batch.

    Args:
        link: Takes the source and the target points of one graph and returns ``[2, E]`` pairs.
        source: Points, shape ``[N, D]``.
        target: Points, shape ``[M, D]``.
        batch: The graph of each source and of each target point, ``[N]`` and ``[M]``, in any order.

    Returns:
        ``edge_index`` of shape ``[2, E]``, sorted by target and then by source.

    Raises:
        InputError: If ``batch`` numbers a graph below 0.
    """
    lowest, number = int(torch.cat([*batch]).min()), int(torch.cat([*batch]).max()) + 1
    if lowest < 0:
        raise InputError("batch", lowest, "not a graph", "Count the graphs from 0")
    rows = [_rows_of_graphs(each, number) for each in batch]
    pairs = [torch.empty(2, 0, dtype=torch.long, device=source.device)]
    for sources, targets in zip(*rows, strict=True):
        if targets.numel():
            near = link(source[sources], target[targets])
            pairs.append(torch.stack([sources[near[0]], targets[near[1]]]))
    joined = torch.cat(pairs, dim=1)
    return joined[:, lexsort([joined[0], joined[1]])]


def _rows_of_graphs(batch: Tensor, number: int) -> tuple[Tensor, ...]:
    batch = batch.long()
    count = torch.bincount(batch, minlength=number)
    rows: tuple[Tensor, ...] = batch.argsort(stable=True).split(count.tolist())
    return rows


def check_batch(name: str, batch: Tensor, number: int) -> None:
    """Raise :class:`InputError` unless ``batch`` is a graph for each of a number of nodes."""
    if not isinstance(batch, Tensor) or batch.shape != (number,):
        given = list(batch.shape) if isinstance(batch, Tensor) else type(batch).__name__
        remedy = "Give the graph of each node, of shape [N]"
        raise InputError(name, given, f"there are {number} nodes", remedy)
    check_indices(name, batch)


def check_same_graphs(names: tuple[str, str], source: Tensor, target: Tensor) -> None:
    """Raise :class:`InputError` unless each graph that has targets has sources."""
    alone = target[~torch.isin(target, source)]
    if alone.numel():
        graph = int(alone[0])
        problem = f"graph {graph} has no points in {names[0]}"
        raise InputError(names[1], graph, problem, "Give points of both kinds for each graph")
