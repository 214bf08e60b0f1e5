"""Coarser versions of a closed mesh, and the matrices that go down to them and up again."""

from collections.abc import Sequence
from dataclasses import dataclass

import igl
import numpy as np
import torch
import trimesh
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.shape import Array, Shape, read_mesh

# Candidates where the closest face looks away, by the distance to its centre.
_NEAR_FACES = 48
# Cosine between the normals of a vertex and of a face that look the same way.
_SAME_WAY = 0.2
_NEAR_VERTICES = 12


@dataclass(frozen=True)
class MeshLevel:
    """A mesh that stands for a finer one.

    Attributes:
        vertices: Coordinates in metres, shape ``[N, 3]``: a subset of the finer level's.
        faces: Triangles, shape ``[F, 3]``.
        kept: Row of the finer level that each vertex is, shape ``[N]``.
        up_index: The three vertices here that span each finer vertex, shape ``[N_fine, 3]``.
        up_weight: Their barycentric weights, which sum to 1, shape ``[N_fine, 3]``.
    """

    vertices: Tensor
    faces: Tensor
    kept: Tensor
    up_index: Tensor
    up_weight: Tensor

    def down(self) -> tuple[Tensor, Tensor]:
        """Return the matrix ``D`` as a graph from finer to coarser vertices: ``coarse = D fine``.

        Returns:
            ``edge_index`` of shape ``[2, N]`` (fine, coarse) and ``edge_weight`` of ones, ``[N]``.
        """
        coarse = torch.arange(self.kept.numel(), device=self.kept.device)
        return torch.stack([self.kept, coarse]), torch.ones_like(self.vertices[:, 0])

    def up(self) -> tuple[Tensor, Tensor]:
        """Return the matrix ``U`` as a graph from coarser to finer vertices: ``fine = U coarse``.

        Returns:
            ``edge_index`` of shape ``[2, 3 N_fine]`` (coarse, fine), sorted by target, and
            ``edge_weight`` of shape ``[3 N_fine]``; the three weights of a fine vertex sum to 1.
        """
        fine = torch.arange(self.up_index.size(0), device=self.kept.device).repeat_interleave(3)
        return torch.stack([self.up_index.flatten(), fine]), self.up_weight.flatten()


def mesh_level(vertices: Shape, faces: Array | None = None, num_vertices: int = 0) -> MeshLevel:
    """Decimate a closed mesh to an exact number of vertices by quadric edge collapse.

    The collapse moves vertices; each goes back to the finer vertex nearest to it, so that going
    down is a selection. Going up is barycentric, on the nearest face that looks the same way: a
    finger never takes its neighbour's skin.

    Args:
        vertices: Coordinates in metres, shape ``[N_fine, 3]``, or a mesh.
        faces: Triangles, counter-clockwise seen from outside, shape ``[F_fine, 3]``; ``None`` if
            the mesh carries them.
        num_vertices: Number of vertices to keep, from 4 to ``N_fine - 1``.

    Returns:
        The coarser level, on the CPU.

    Raises:
        InputError: If the mesh is not closed, or cannot reach ``num_vertices``.

    Source: Garland and Heckbert, "Surface simplification using quadric error metrics", 1997.
    """
    vertices, faces = read_mesh("vertices", vertices, faces)
    check_closed(faces)
    fine, fine_faces = vertices.detach().cpu().double().numpy(), faces.cpu().numpy()
    points, coarse_faces = decimate(fine, fine_faces, num_vertices)
    kept = _nearest_distinct(points, fine)
    up_index, up_weight = barycentric_map(fine, fine_faces, fine[kept], coarse_faces)
    return MeshLevel(
        vertices=vertices.detach().cpu()[kept],
        faces=torch.as_tensor(coarse_faces),
        kept=torch.as_tensor(kept),
        up_index=torch.as_tensor(up_index),
        up_weight=torch.as_tensor(up_weight, dtype=vertices.dtype),
    )


def mesh_levels(
    vertices: Shape, faces: Array | None = None, sizes: Sequence[int] = ()
) -> list[MeshLevel]:
    """Decimate a closed mesh step by step, each level from the one before it.

    Args:
        vertices: Coordinates in metres, shape ``[N, 3]``, or a mesh.
        faces: Triangles, shape ``[F, 3]``; ``None`` if the mesh carries them.
        sizes: Numbers of vertices, falling, for example ``[1723, 431]``.

    Returns:
        One :class:`MeshLevel` a size.

    Raises:
        InputError: As :func:`mesh_level`.
    """
    levels: list[MeshLevel] = []
    for size in sizes:
        levels.append(mesh_level(vertices, faces, size))
        vertices, faces = levels[-1].vertices, levels[-1].faces
    return levels


def decimate(
    vertices: np.ndarray, faces: np.ndarray, num_vertices: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices ``[N, 3]`` and faces ``[F, 3]`` of a decimated closed mesh.

    A closed triangle mesh has ``F = 2 N - c`` faces, where ``c`` is twice its Euler characteristic
    (4 for one surface without handles). The collapse keeps ``c``, which turns the number of
    vertices into the number of faces that it stops at.

    Raises:
        InputError: If the mesh cannot reach ``num_vertices``.
    """
    if not 4 <= num_vertices < len(vertices):
        raise InputError(
            "num_vertices",
            num_vertices,
            f"the mesh has {len(vertices)} vertices",
            f"Give a number from 4 to {len(vertices) - 1}",
        )
    coarse, coarse_faces, _, _ = igl.qslim(
        np.asfortranarray(vertices, np.float64),
        np.asfortranarray(faces, np.int32),
        len(faces) - 2 * (len(vertices) - num_vertices),
    )
    if len(coarse) != num_vertices:
        remedy = "Give a larger number, or a smoother mesh"
        problem = f"edge collapse stopped at {len(coarse)} vertices"
        raise InputError("num_vertices", num_vertices, problem, remedy)
    return np.ascontiguousarray(coarse), np.ascontiguousarray(coarse_faces, np.int64)


def barycentric_map(
    points: np.ndarray, point_faces: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the closest point of one mesh to each vertex of another that looks the same way.

    Args:
        points: Vertices of the first mesh, ``[P, 3]``.
        point_faces: Its faces, from which the vertices' normals come.
        vertices: Vertices of the second mesh, ``[V, 3]``.
        faces: Its faces, ``[F, 3]``.

    Returns:
        Vertices of the second mesh ``[P, 3]`` and their weights ``[P, 3]``: not negative, of sum 1.
    """
    normals = trimesh.Trimesh(points, point_faces, process=False).vertex_normals
    triangles = vertices[faces]
    outward = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    # A face without area has no side to look to; it stays allowed as the nearest one.
    outward /= np.linalg.norm(outward, axis=1, keepdims=True).clip(1e-30)
    _, face, closest = igl.point_mesh_squared_distance(
        np.asfortranarray(points), np.asfortranarray(vertices), np.asfortranarray(faces, np.int64)
    )
    gap = np.linalg.norm(closest - points, axis=1)
    away = np.flatnonzero(((outward[face] * normals).sum(1) < _SAME_WAY) & (gap > 1e-9))
    if len(away):
        number = min(_NEAR_FACES, len(faces))
        near = cKDTree(triangles.mean(1)).query(points[away], k=number)[1].reshape(-1, number)
        pairs = np.repeat(points[away], number, axis=0)
        spots = trimesh.triangles.closest_point(triangles[near.ravel()], pairs)
        distance = np.linalg.norm(spots - pairs, axis=1).reshape(near.shape)
        wrong = (outward[near] * normals[away, None]).sum(2) < _SAME_WAY
        best = np.where(wrong, distance + distance.max(), distance).argmin(1)
        rows = np.arange(len(away))
        face[away] = near[rows, best]
        closest[away] = spots.reshape(*near.shape, 3)[rows, best]
    weight = trimesh.triangles.points_to_barycentric(triangles[face], closest).clip(0, 1)
    return faces[face], weight / weight.sum(axis=1, keepdims=True)


def check_closed(faces: Tensor) -> None:
    """Raise :class:`InputError` unless every edge has two faces."""
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    _, uses = torch.unique(sides, dim=0, return_counts=True)
    open_edges = int((uses != 2).sum())
    if open_edges:
        problem = f"{open_edges} edges lack two faces"
        raise InputError("faces", list(faces.shape), problem, "Give a closed triangle mesh")


def _nearest_distinct(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """One vertex for each point, no vertex twice, the sum of squared distances least."""
    number = min(_NEAR_VERTICES, len(vertices))
    near = np.unique(cKDTree(vertices).query(points, k=number)[1])
    cost = np.square(points[:, None] - vertices[near][None]).sum(-1)
    return near[linear_sum_assignment(cost)[1]]
