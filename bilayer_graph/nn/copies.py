"""A disjoint union of copies of two graphs, seen as a batch over one topology."""

from torch import Tensor
from torch_geometric.typing import OptPairTensor

from bilayer_graph.errors import InputError

_NAMES = "first", "second"


def unstack(x: OptPairTensor, size: tuple[int, int], remedy: str = "") -> OptPairTensor:
    """Return the features of a disjoint union ``[K * N, C]`` as a batch ``[K, N, C]``.

    A batch ``[B, N, C]`` and one graph ``[N, C]`` stay as they are.

    Args:
        x: Features of the first and of the second graph, of which the second may be ``None``.
        size: Number of nodes of the first and of the second graph.
        remedy: What else an error advises if the number of nodes does not fit.

    Raises:
        InputError: If the features are not those of copies of the two graphs.
    """
    parts = tuple(x) if isinstance(x, (tuple, list)) else (x,)
    is_pair = len(parts) == 2 and isinstance(parts[0], Tensor)
    if not is_pair or not isinstance(parts[1], Tensor | None):
        advice = "Give a pair: features of the first and of the second graph"
        problem = "features cross from the first to the second"
        raise InputError("x", _describe(parts), problem, advice)
    first = _unstack(parts[0], size, 0, remedy)
    second = None if parts[1] is None else _unstack(parts[1], size, 1, remedy)
    if second is not None and first.shape[:-2] != second.shape[:-2]:
        advice = "Give features of the same number of graphs"
        raise InputError("x", _describe(parts), "not the same number of graphs", advice)
    return first, second


def restack(x: Tensor, out: Tensor) -> Tensor:
    """Return a result in the form of the input: what was unstacked as a disjoint union again."""
    return out.flatten(0, 1) if x.dim() < out.dim() else out


def _unstack(x: Tensor, size: tuple[int, int], which: int, remedy: str) -> Tensor:
    nodes = size[which]
    if x.dim() in (2, 3) and x.size(-2) == nodes:
        return x
    if x.dim() == 2 and x.size(0) % nodes == 0:
        return x.view(x.size(0) // nodes, nodes, x.size(1))
    problem = f"the {_NAMES[which]} graph has {nodes} nodes"
    if x.dim() in (2, 3) and x.size(-2) == size[1 - which]:
        problem += f", these look like the {_NAMES[1 - which]} graph's"
    advice = f"Give [{nodes}, C], [B, {nodes}, C] or, for a union of K graphs, [K * {nodes}, C]"
    raise InputError(f"x[{which}]", list(x.shape), problem, advice + remedy)


def _describe(parts: tuple[object, ...]) -> list[object]:
    names = (None if part is None else type(part).__name__ for part in parts)
    return [
        list(part.shape) if isinstance(part, Tensor) else name
        for part, name in zip(parts, names, strict=True)
    ]
