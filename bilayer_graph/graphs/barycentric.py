"""Vertices of one mesh as weighted corners of the faces of another."""

import igl
import numpy as np
import trimesh
from scipy.spatial import cKDTree

# Candidates where the closest face looks away, by the distance to its centre.
_NEAR_FACES = 48
# Cosine between the normals of a vertex and of a face that look the same way.
_SAME_WAY = 0.2
# How much farther than the closest face another may be, in parts of the closest one's longest side.
_DETOUR = 1 / 3
# Vertices that look for another face at a time, which bounds the memory.
_CHUNK = 2048
# Sine of an angle below which the sides of a triangle lie on one line.
_FLAT = 1e-12


def barycentric_map(
    points: np.ndarray, point_faces: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the closest point of one mesh to each vertex of another that looks the same way.

    Args:
        points: Vertices of the first mesh, ``[P, 3]``, about as large as the unit sphere.
        point_faces: Its faces, from which the vertices' normals come.
        vertices: Vertices of the second mesh, ``[V, 3]``.
        faces: Its faces, ``[F, 3]``.

    Returns:
        Vertices of the second mesh ``[P, 3]`` and their weights ``[P, 3]``: not negative, of sum 1.
    """
    normals = np.nan_to_num(trimesh.Trimesh(points, point_faces, process=False).vertex_normals)
    triangles = vertices[faces]
    outward = unit_normals(triangles)
    size = np.linalg.norm(np.roll(triangles, 1, axis=1) - triangles, axis=-1).max(1)
    face = _nearest(points, vertices, faces, size)
    away = np.flatnonzero(_looks_away(outward[face], normals))
    number = min(_NEAR_FACES, len(faces))
    centres = cKDTree(triangles.mean(1))
    for start in range(0, len(away), _CHUNK):
        rows = away[start : start + _CHUNK]
        near = centres.query(points[rows], k=range(1, number + 1))[1]
        gap = _gaps(points[rows, None], triangles[near])
        gap[_looks_away(outward[near], normals[rows, None])] = np.inf
        best = gap.argmin(1)[:, None]
        bound = _gaps(points[rows], triangles[face[rows]]) + _DETOUR * size[face[rows]]
        found = np.take_along_axis(gap, best, 1)[:, 0] < bound
        face[rows[found]] = np.take_along_axis(near, best, 1)[found, 0]
    return faces[face], closest_weights(points, triangles[face])


def _nearest(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Find the closest face to each point."""
    # Copies of points and faces of one point cost the search a comparison with each other.
    places, place = np.unique(points, axis=0, return_inverse=True)
    wide = np.flatnonzero(size) if size.any() else np.arange(1)
    _, face, _ = igl.point_mesh_squared_distance(
        np.asfortranarray(places),
        np.asfortranarray(vertices),
        np.asfortranarray(faces[wide], np.int64),
    )
    nearest: np.ndarray = wide[face][place.ravel()]
    return nearest


def unit_normals(triangles: np.ndarray, sine: float = _FLAT) -> np.ndarray:
    """Return normals of triangles ``[..., 3, 3]``; zero for one without area, which has no sides.

    Args:
        triangles: Corners.
        sine: Sine of an angle below which the sides of a triangle lie on one line.
    """
    normal, flat = _normals(triangles, sine)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return _divide(normal, length, ~flat[..., None])


def closest_weights(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Weigh the corners of triangles so that they give the closest points to points.

    Args:
        points: One for each triangle, ``[..., 3]``.
        triangles: Corners, ``[..., 3, 3]``; they may lie on one line or in one point.

    Returns:
        Weights of shape ``[..., 3]``: not negative, of sum 1.
    """
    normal, flat = _normals(triangles)
    size = _dot(normal, normal)[..., None]
    spokes = points[..., None, :] - triangles
    # Each corner weighs as much as the triangle between the point and the other two.
    parts = np.cross(np.roll(spokes, -1, axis=-2), np.roll(spokes, -2, axis=-2))
    inner = _dot(parts, normal[..., None, :])
    inner = _divide(inner, size, ~flat[..., None])
    outside = flat | (inner < 0).any(-1)
    inner[outside] = _side_weights(spokes[outside], triangles[outside])
    inner /= inner.sum(-1, keepdims=True)
    return inner


def _side_weights(spokes: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return weights ``[T, 3]`` of the closest points on the sides of triangles."""
    side = np.roll(triangles, -1, axis=1) - triangles
    length = _dot(side, side)
    along = _divide(_dot(spokes, side), length, length > 0).clip(0, 1)
    gap = np.linalg.norm(spokes - along[..., None] * side, axis=-1)
    rows, best = np.arange(len(gap)), gap.argmin(1)
    weight: np.ndarray = np.zeros_like(gap)
    weight[rows, best] = 1 - along[rows, best]
    weight[rows, (best + 1) % 3] = along[rows, best]
    return weight


def _gaps(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    points = np.broadcast_to(points, triangles.shape[:-1])
    spots = (closest_weights(points, triangles)[..., None] * triangles).sum(-2)
    gaps: np.ndarray = np.linalg.norm(spots - points, axis=-1)
    return gaps


def _normals(triangles: np.ndarray, sine: float = _FLAT) -> tuple[np.ndarray, np.ndarray]:
    """Return normals as long as twice the area, and which triangles have none."""
    first = triangles[..., 1, :] - triangles[..., 0, :]
    second = triangles[..., 2, :] - triangles[..., 0, :]
    normal = np.cross(first, second)
    longest = np.maximum(_dot(first, first), _dot(second, second))
    return normal, _dot(normal, normal) <= np.square(sine * longest)


def _looks_away(outward: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return which faces look another way than vertices; what has no normal looks every way."""
    sided = outward.any(-1) & normals.any(-1)
    return sided & (_dot(outward, normals) < _SAME_WAY)


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    product: np.ndarray = (first * second).sum(-1)
    return product


def _divide(value: np.ndarray, by: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return a quotient, zero elsewhere."""
    quotient: np.ndarray = np.divide(value, by, out=np.zeros_like(value), where=where)
    return quotient
