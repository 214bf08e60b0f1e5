"""Room for what has none: quadrics tell nothing of sheets, needles and points without it."""

import numpy as np
from scipy.spatial import cKDTree

from bilayer_graph.graphs.barycentric import unit_normals

# Thickness of a piece, in parts of its size, below which it is a sheet.
_SHEET = 1e-6
# Sine of an angle of a face below which quadrics take it for a line.
_LINE = 1e-6
# Cosine between a face of a sheet and the sheet, above which the face is on one of its sides.
_ON_SIDE = 0.5
# Height that the middle of a sheet gets for each unit of distance to its rim.
_SLOPE = 0.25
# Shifts in parts of the longest side of a vertex's faces without area: of one that has no other
# faces, as along a needle, and of one that has.
_NEEDLE = 0.3
_NUDGE = 1e-6
# That length for vertices at one place.
_LEAST = 1e-6


def inflated(vertices: np.ndarray, faces: np.ndarray, pieces: list[np.ndarray]) -> np.ndarray:
    """Move vertices where a closed surface has no volume or a face no area.

    Quadrics are sums of squared distances to the planes of faces. A sheet of no thickness has one
    plane, so that nothing would hold its rim; a face without area has none.

    Args:
        vertices: Coordinates ``[V, 3]``, each piece of a size near 1.
        faces: Triangles, ``[F, 3]``.
        pieces: The vertices of each piece.

    Returns:
        The vertices, the same array where there is nothing to do.
    """
    side, lifted = unit_normals(vertices[faces], _LINE), np.zeros(len(vertices), bool)
    for piece in pieces:
        across = _across(vertices[piece])
        if across is not None:
            vertices = vertices.copy()
            height = _heights(vertices, faces, side @ across, piece) - vertices[piece] @ across
            vertices[piece] += height[:, None] * across
            lifted[piece] = True
    return _nudged(vertices, faces, lifted)


def _across(points: np.ndarray) -> np.ndarray | None:
    """Return the direction across a sheet, or ``None`` if the points are no sheet."""
    points = points - points.mean(0)
    spread, axes = np.linalg.eigh(points.T @ points / len(points))
    across = axes[:, 0]
    sheet = np.abs(points @ across).max() < _SHEET and spread[1] > _SHEET**2
    return across if sheet else None


def _heights(
    vertices: np.ndarray, faces: np.ndarray, facing: np.ndarray, piece: np.ndarray
) -> np.ndarray:
    """Return how far to lift the vertices of a sheet: a roof over each side, down to the rim."""
    side = np.where(np.abs(facing) > _ON_SIDE, np.sign(facing), 0)
    low, high = np.ones(len(vertices)), -np.ones(len(vertices))
    np.minimum.at(low, faces, side[:, None])
    np.maximum.at(high, faces, side[:, None])
    rim = (low < high)[piece] | (low[piece] == 0)
    gap = cKDTree(vertices[piece][rim]).query(vertices[piece])[0]
    return np.where(rim, 0, _SLOPE * low[piece] * gap)


def _nudged(vertices: np.ndarray, faces: np.ndarray, lifted: np.ndarray) -> np.ndarray:
    """Shift the vertices of faces without area, by chance but always the same."""
    corners = vertices[faces]
    flat = ~unit_normals(corners, _LINE).any(1)
    if not flat.any():
        return vertices
    longest = np.linalg.norm(np.roll(corners, 1, axis=1) - corners, axis=-1).max(1)
    reach, bare = np.full(len(vertices), _LEAST), ~lifted
    np.maximum.at(reach, faces[flat], longest[flat, None])
    bare[faces[~flat]] = False
    moved = np.isin(np.arange(len(vertices)), faces[flat])
    shift = reach * moved * np.where(bare, _NEEDLE, _NUDGE)
    return vertices + shift[:, None] * np.random.default_rng(0).uniform(-1, 1, vertices.shape)
