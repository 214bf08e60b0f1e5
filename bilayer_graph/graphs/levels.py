"""Coarser versions of a closed mesh, and the matrices that go down to them and up again."""

from dataclasses import dataclass

import igl
import numpy as np
import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import check_faces, check_points


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


def mesh_level(vertices: Tensor, faces: Tensor, num_vertices: int) -> MeshLevel:
    """Decimate a closed mesh of genus 0 to an exact number of vertices by quadric edge collapse.

    A closed triangle mesh of genus 0 has ``F = 2 N - 4`` faces, which turns the number of vertices
    into the number of faces that the collapse stops at.

    Args:
        vertices: Coordinates in metres, shape ``[N_fine, 3]``.
        faces: Triangles, shape ``[F_fine, 3]``.
        num_vertices: Number of vertices to keep, from 4 to ``N_fine``.

    Returns:
        The coarser level, on the CPU.

    Raises:
        InputError: If the mesh is not closed and of genus 0, or cannot reach ``num_vertices``.

    Source: Garland and Heckbert, "Surface simplification using quadric error metrics", 1997.
    """
    check_points("vertices", vertices)
    check_faces(faces, vertices.size(0))
    check_closed(faces, vertices.size(0))
    if not 4 <= num_vertices <= vertices.size(0):
        raise InputError(
            "num_vertices",
            num_vertices,
            f"the mesh has {vertices.size(0)} vertices",
            f"Give a number from 4 to {vertices.size(0)}",
        )
    fine = np.asfortranarray(vertices.detach().cpu().double().numpy())
    fine_faces = np.asfortranarray(faces.cpu().numpy().astype(np.int32))
    _, coarse_faces, _, kept = igl.qslim(fine, fine_faces, 2 * num_vertices - 4)
    if len(kept) != num_vertices or len(np.unique(kept)) != num_vertices:
        raise InputError(
            "num_vertices",
            num_vertices,
            f"edge collapse stopped at {len(kept)} vertices",
            "Give a larger number, or a mesh with less intricate topology",
        )
    coarse = fine[kept]
    _, birth, nearest = igl.point_mesh_squared_distance(fine, coarse, coarse_faces)
    up_index = coarse_faces[birth]
    corners = [np.asfortranarray(coarse[up_index[:, i]]) for i in range(3)]
    weight = np.clip(igl.barycentric_coordinates(np.asfortranarray(nearest), *corners), 0, 1)
    weight /= weight.sum(axis=1, keepdims=True)
    return MeshLevel(
        vertices=torch.as_tensor(coarse, dtype=vertices.dtype),
        faces=torch.as_tensor(coarse_faces, dtype=torch.long),
        kept=torch.as_tensor(kept, dtype=torch.long),
        up_index=torch.as_tensor(up_index, dtype=torch.long),
        up_weight=torch.as_tensor(weight, dtype=vertices.dtype),
    )


def mesh_levels(vertices: Tensor, faces: Tensor, sizes: list[int]) -> list[MeshLevel]:
    """Decimate a closed mesh step by step, each level from the one before it.

    Args:
        vertices: Coordinates in metres, shape ``[N, 3]``.
        faces: Triangles, shape ``[F, 3]``.
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


def check_closed(faces: Tensor, num_vertices: int) -> None:
    """Raise :class:`InputError` unless every edge has two faces and the surface is a sphere's."""
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    _, uses = torch.unique(sides, dim=0, return_counts=True)
    remedy = "Give a closed, connected triangle mesh without holes or handles"
    if not (uses == 2).all():
        open_edges = int((uses != 2).sum())
        raise InputError("faces", list(faces.shape), f"{open_edges} edges lack two faces", remedy)
    euler = num_vertices - uses.numel() + faces.size(0)
    if euler != 2:
        raise InputError("faces", list(faces.shape), f"Euler characteristic {euler}, not 2", remedy)
