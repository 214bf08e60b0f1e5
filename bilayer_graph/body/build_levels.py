"""Decimate a closed mesh and carry data between its levels (for building body files only)."""

import igl
import numpy as np
import trimesh
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

# Candidates for the closest face, by distance to its centre.
NEAR_FACES = 48


def decimate(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Quadric decimation of a closed genus-0 mesh to ``count`` vertices.

    Such a mesh has ``F = 2V - 4`` faces, so the face count that quadric decimation stops at
    sets the vertex count.
    """
    coarse, coarse_faces, _, _ = igl.qslim(
        np.asfortranarray(vertices, np.float64), np.asfortranarray(faces, np.int32), 2 * count - 4
    )
    check_closed(coarse, coarse_faces, count)
    return np.ascontiguousarray(coarse), np.ascontiguousarray(coarse_faces)


def check_closed(vertices: np.ndarray, faces: np.ndarray, count: int) -> None:
    """Stop when a mesh is not one closed manifold of genus 0 with ``count`` vertices."""
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    edges, uses = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    good = len(vertices) == count and (uses == 2).all() and len(edges) == 3 * count - 6
    if not (good and mesh.is_winding_consistent and mesh.body_count == 1):
        raise RuntimeError(f"the mesh of {count} vertices is not closed, of genus 0, in one piece")


def nearest_distinct(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """One vertex for each point, no vertex twice, the sum of squared distances least."""
    near = np.unique(cKDTree(vertices).query(points, k=12)[1])
    cost = np.square(points[:, None] - vertices[near][None]).sum(-1)
    return near[linear_sum_assignment(cost)[1]]


def barycentric_map(
    points: np.ndarray, point_faces: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Closest point of one mesh to each vertex of another, in the corners of its face.

    Faces that look away from the vertex's normal come last, so that a finger does not take its
    neighbour's skin, nor a thigh the other thigh's.

    Returns:
        Vertex indices ``[P, 3]`` and weights ``[P, 3]`` (non-negative, rows sum to 1).
    """
    normals = trimesh.Trimesh(points, point_faces, process=False).vertex_normals
    triangles = vertices[faces]
    outward = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    near = cKDTree(triangles.mean(1)).query(points, k=NEAR_FACES)[1]
    pairs = np.repeat(points, NEAR_FACES, 0)
    closest = trimesh.triangles.closest_point(triangles[near.ravel()], pairs)
    distance = np.linalg.norm(closest - pairs, axis=-1).reshape(near.shape)
    away = ((outward[near] * normals[:, None]).sum(-1) < 0.2) & (distance > 1e-9)
    best = np.where(away, distance + distance.max(), distance).argmin(1)
    rows = np.arange(len(points))
    face = near[rows, best]
    closest = closest.reshape(*near.shape, 3)[rows, best]
    weight = trimesh.triangles.points_to_barycentric(triangles[face], closest).clip(0, 1)
    return faces[face], weight / weight.sum(1, keepdims=True)


def map_matrix(
    points: np.ndarray, point_faces: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> np.ndarray:
    """The barycentric map from a mesh's vertices to another's as a matrix ``[P, V]``."""
    index, weight = barycentric_map(points, point_faces, vertices, faces)
    matrix = np.zeros((len(points), len(vertices)))
    np.put_along_axis(matrix, index, weight, 1)
    return matrix
