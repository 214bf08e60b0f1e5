"""Pairs of near points: all, the k nearest, or all within a radius."""

from itertools import chain
from numbers import Integral

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import check_positive

MAX_PAIRS = 2**26
"""Edges beyond which linking points is refused: a gigabyte of indices."""
# Edges that are made at a time, where more than the edges themselves is stored.
_CHUNK = 2**20
# Points that tell about how many edges a radius makes.
_SAMPLE = 1024


def check_reach(
    k: int | None,
    radius: float | None,
    size: tuple[int, int],
    points: str,
    prefix: str = "",
) -> None:
    """Raise :class:`InputError` unless ``k`` or ``radius`` can be used.

    Args:
        k: Number of nearest points, or ``None``.
        radius: Largest distance, or ``None``; one of the two at most.
        size: How many points there are to choose from, and how many choose.
        points: What an error calls the points to choose from.
        prefix: Start of the names of the two arguments.
    """
    number = size[0]
    if k is not None and radius is not None:
        problem = f"{prefix}k={k} is given too"
        raise InputError(f"{prefix}radius", radius, problem, "Give one of the two")
    if k is not None and not (isinstance(k, Integral) and 1 <= k <= number):
        remedy = f"Give a whole number from 1 to {number}, or None" if number else "Give None"
        raise InputError(f"{prefix}k", k, f"there are {number} {points}", remedy)
    if radius is not None:
        check_positive(f"{prefix}radius", radius)
    if k is None and radius is None and size[0] * size[1] > MAX_PAIRS:
        problem = f"linking all takes {size[0] * size[1]} edges"
        raise InputError(f"{prefix}k", None, problem, f"Give {prefix}k or {prefix}radius")
    if k is not None and k * size[1] > MAX_PAIRS:
        problem = f"linking so many takes {k * size[1]} edges"
        remedy = f"Give {prefix}k of {MAX_PAIRS // size[1]} or less"
        if size[1] > MAX_PAIRS:
            remedy = "Give fewer points"
        raise InputError(f"{prefix}k", k, problem, remedy)


def neighbor_pairs(
    source: Tensor, target: Tensor, k: int | None, radius: float | None, prefix: str = ""
) -> Tensor:
    """Find the source points near to each target point.

    Args:
        source: Points, shape ``[N, D]``.
        target: Points, shape ``[M, D]``.
        k: Take the ``k`` nearest; of several equally far, any.
        radius: Take all that are no farther; without ``k`` and ``radius``, all there are.
        prefix: Start of the name of the radius.

    Returns:
        ``edge_index`` of shape ``[2, E]``, sorted by target and then by source.

    Raises:
        InputError: If too many are within the radius.
    """
    if k is not None:
        index, lengths = _nearest(_array(source), _array(target), k)
    elif radius is not None:
        index, lengths = _within(_array(source), _array(target), radius, f"{prefix}radius")
    else:
        lengths = np.full(target.size(0), source.size(0))
        index = np.tile(np.arange(source.size(0)), target.size(0))
    rows = np.repeat(np.arange(target.size(0)), lengths)
    return torch.from_numpy(np.stack([index, rows])).to(source.device)


def _nearest(source: np.ndarray, target: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``k`` nearest points of each target in turn, and how many each has."""
    tree, near = cKDTree(source), np.empty((len(target), k), np.int64)
    step = max(1, _CHUNK // k)
    for start in range(0, len(target), step):
        found = tree.query(target[start : start + step], k=range(1, k + 1))[1]
        near[start : start + step] = np.sort(found, axis=1)
    return near.ravel(), np.full(len(target), k)


def _within(
    source: np.ndarray, target: np.ndarray, radius: float, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Find the points within a radius of each target in turn, and how many each has."""
    tree = cKDTree(source)
    some = target[:: max(1, len(target) // _SAMPLE)]
    expected = tree.query_ball_point(some, radius, return_length=True).mean() * len(target)
    # Counting takes as long as the edges are many.
    if expected > 2 * MAX_PAIRS:
        raise _too_many(name, radius, f"about {expected:.2g}")
    lengths = tree.query_ball_point(target, radius, return_length=True)
    if lengths.sum() > MAX_PAIRS:
        raise _too_many(name, radius, str(lengths.sum()))
    ends = np.cumsum(lengths)
    index, start = np.empty(ends[-1], np.int64), 0
    while start < len(target):
        done = ends[start] - lengths[start]
        stop = max(start + 1, int(np.searchsorted(ends, done + _CHUNK, side="right")))
        balls = tree.query_ball_point(target[start:stop], radius, return_sorted=True)
        index[done : ends[stop - 1]] = list(chain.from_iterable(balls))
        start = stop
    return index, lengths


def _too_many(name: str, radius: float, edges: str) -> InputError:
    problem = f"linking all within it takes {edges} edges"
    return InputError(name, radius, problem, f"Give a smaller radius, or {name[:-6]}k")


def _array(points: Tensor) -> np.ndarray:
    return points.detach().cpu().double().numpy()
