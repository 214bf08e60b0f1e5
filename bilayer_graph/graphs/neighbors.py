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
"""Edges beyond which linking all points is refused: a gigabyte of indices."""


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


def neighbor_pairs(source: Tensor, target: Tensor, k: int | None, radius: float | None) -> Tensor:
    """Find the source points near to each target point.

    Args:
        source: Points, shape ``[N, D]``.
        target: Points, shape ``[M, D]``.
        k: Take the ``k`` nearest; of several equally far, any.
        radius: Take all that are no farther; without ``k`` and ``radius``, all there are.

    Returns:
        ``edge_index`` of shape ``[2, E]``, sorted by target and then by source.
    """
    rows = np.arange(target.size(0))
    if k is not None:
        near = cKDTree(_array(source)).query(_array(target), k=range(1, k + 1))[1]
        index, lengths = np.sort(near, axis=1).ravel(), np.full(len(rows), k)
    elif radius is not None:
        balls = cKDTree(_array(source)).query_ball_point(_array(target), radius, return_sorted=True)
        lengths = np.fromiter(map(len, balls), np.int64, len(balls))
        index = np.fromiter(chain.from_iterable(balls), np.int64, int(lengths.sum()))
    else:
        lengths = np.full(len(rows), source.size(0))
        index = np.tile(np.arange(source.size(0)), len(rows))
    return torch.from_numpy(np.stack([index, np.repeat(rows, lengths)])).to(source.device)


def _array(points: Tensor) -> np.ndarray:
    return points.detach().cpu().double().numpy()
