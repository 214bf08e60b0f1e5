"""Points that choose vertices near to them, none twice."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from bilayer_graph.errors import InputError

NEAR_VERTICES = 12
"""Vertices that a point chooses from."""


def near_vertices(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Return the nearest vertices of each point, ``[P, 12]``; of few vertices, some repeatedly."""
    number = min(NEAR_VERTICES, len(vertices))
    near = cKDTree(vertices).query(points, k=range(1, number + 1))[1]
    return np.pad(near, ((0, 0), (0, NEAR_VERTICES - number)), mode="edge")


def cheapest_distinct(cost: np.ndarray, choice: np.ndarray, number: int) -> np.ndarray:
    """Choose for each point, no choice twice, so that the sum of the costs is least.

    Args:
        cost: Costs, not negative, ``[P, K]``.
        choice: What each point may choose, of ``number`` things, ``[P, K]``.
        number: Number of things.

    Returns:
        The column that each point chooses, ``[P]``.

    Raises:
        InputError: If there is no such choice.
    """
    point, column = np.divmod(np.argsort(cost, axis=None, kind="stable"), cost.shape[1])
    thing = choice[point, column]
    # Of two ways to the same thing, the cheaper.
    _, first = np.unique(point * number + thing, return_index=True)
    point, column, thing = point[first], column[first], thing[first]
    # A choice takes one cost a point, so that a constant that keeps them from 0 changes nothing.
    value = cost[point, column] + max(cost.max(), 1e-300)
    graph = csr_array((value, (point, thing)), shape=(len(cost), number))
    try:
        chosen = min_weight_full_bipartite_matching(graph)[1]
    except ValueError as error:
        problem = "they touch in so many vertices that some have none of their own"
        raise InputError("vertices", "surfaces", problem, "Separate the surfaces") from error
    place = np.searchsorted(point * number + thing, np.arange(len(cost)) * number + chosen)
    chosen_column: np.ndarray = column[place]
    return chosen_column
