"""Whether the edges of a call are those that a layer was built with."""

import torch
from torch import Tensor
from torch_geometric.typing import Adj
from torch_geometric.utils import lexsort

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import check_weights
from bilayer_graph.nn.adjacency import entries

SAME_PRIOR = 1e-2
"""Relative difference up to which two priors are the same: one may have been in bfloat16."""


def find_edges(edges: Adj, own: Tensor, copies: int) -> tuple[Tensor, Tensor]:
    """Find the edges of a layer among the edges of a call.

    Args:
        edges: The edges of the call, in any form and order.
        own: The layer's edges, once for each graph of the batch, shape ``[2, K * E]``.
        copies: Number of graphs in the batch, :math:`K`.

    Returns:
        The edges of the call, ``[2, K * E]``, and where each own one stands, ``[K * E]``.

    Raises:
        InputError: If they are not the same edges.
    """
    given = entries(edges)[0].long()
    position = _match(given, own)
    if position is not None:
        return given, position
    problem = f"not the layer's {own.size(1) // copies} edges, once for each of {copies} graphs"
    if _match(given.flip(0), own) is not None:
        problem = "the layer's edges with source and destination swapped"
    remedy = (
        "Give the edges that the layer was built with, once a graph, or leave them out; for edges "
        "that change from call to call take GraphConv, whose weights belong to no edge"
    )
    raise InputError("edge_index", list(given.shape), problem, remedy)


def check_same_prior(given: Tensor, own: Tensor, position: Tensor) -> None:
    """Raise :class:`InputError` unless the weights of a call are the prior of a layer.

    Args:
        given: The weights of the call.
        own: The layer's prior, once for each graph of the batch, shape ``[K * E]``.
        position: Where each edge stands in the call, shape ``[K * E]``.
    """
    check_weights("edge_weight", given, own.numel())
    given = given[position]
    wrong = ~torch.isclose(given.to(own.dtype), own, rtol=SAME_PRIOR, atol=0)
    if wrong.any():
        edge = int(wrong.nonzero()[0])
        value = f"{given[edge].item():g} at {int(position[edge])}"
        problem = f"the layer was built with {own[edge].item():g} there"
        remedy = "Give that prior or leave it out; what an edge learns is in the layer"
        raise InputError("edge_weight", value, problem, remedy)


def _match(given: Tensor, own: Tensor) -> Tensor | None:
    if given.shape != own.shape:
        return None
    if torch.equal(given, own):
        return torch.arange(own.size(1), device=own.device)
    by_given, by_own = lexsort(given.unbind()), lexsort(own.unbind())
    if not torch.equal(given[:, by_given], own[:, by_own]):
        return None
    return torch.empty_like(by_given).index_copy(0, by_own, by_given)


def place(value: Tensor, position: Tensor) -> Tensor:
    """Return values in another order, each at its position; the inverse of ``value[position]``."""
    return torch.empty_like(value).index_copy(0, position, value)
