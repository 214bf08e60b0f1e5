"""Coarser versions of a closed mesh, and the matrices that go down to them and up again."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.barycentric import barycentric_map, unit_normals
from bilayer_graph.graphs.collapse import check_size, collapse
from bilayer_graph.graphs.distinct import NEAR_VERTICES, cheapest_distinct, near_vertices
from bilayer_graph.graphs.inflate import inflated
from bilayer_graph.graphs.shape import Array, Shape, exact_points, read_mesh
from bilayer_graph.graphs.surface import Surface, closed_surface


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
    finger never takes its neighbour's skin. Separate pieces stay separate.

    What files do to a closed mesh is mended: copies of vertices along the seams of a texture count
    as one vertex and get the same weights; faces that use a vertex twice or are there twice go; and
    the faces of a piece that are turned round, the fewer, turn back.

    Args:
        vertices: Coordinates in metres, shape ``[N_fine, 3]``, or a mesh.
        faces: Triangles, counter-clockwise seen from outside, shape ``[F_fine, 3]``; ``None`` if
            the mesh carries them.
        num_vertices: Number of vertices to keep, from 4 to ``N_fine - 1``.

    Returns:
        The coarser level, on the CPU.

    Raises:
        InputError: If the mesh is not closed, has one side only, has vertices without a face or no
            area, or cannot reach ``num_vertices``.

    Source: Garland and Heckbert, "Surface simplification using quadric error metrics", 1997.
    """
    return mesh_levels(vertices, faces, [num_vertices])[0]


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
    _check_falling(sizes)
    fine, triangles = read_mesh("vertices", vertices, faces)
    fine, exact = fine.detach().cpu(), exact_points(vertices)
    levels: list[MeshLevel] = []
    for size in sizes:
        levels.append(_coarsen(fine, exact, triangles.cpu().numpy(), size))
        kept = levels[-1].kept
        fine, exact, triangles = fine[kept], exact[kept.numpy()], levels[-1].faces
    return levels


def _check_falling(sizes: Sequence[int]) -> None:
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        remedy = "Give a list, for example [1723, 431]"
        raise InputError("sizes", sizes, "not a list of numbers of vertices", remedy)
    for finer, coarser in pairwise(sizes):
        if not coarser < finer:
            problem = f"{coarser} follows {finer}"
            raise InputError("sizes", sizes, problem, "Order from fine to coarse")


def _coarsen(vertices: Tensor, exact: np.ndarray, faces: np.ndarray, number: int) -> MeshLevel:
    """Build a level of a checked mesh, from its coordinates in float64."""
    exact = np.ldexp(exact, -_exponent(np.abs(exact).max()) - 1)
    surface = closed_surface(exact, faces)
    check_size(number, np.unique(surface.row).size)
    fine, size = _local(exact[surface.row], surface.piece)
    if not unit_normals(fine[surface.faces]).any():
        problem = "no face has an area"
        raise InputError("vertices", list(vertices.shape), problem, "Give the points of a surface")
    bulky = inflated(fine, surface.faces, _groups(surface.piece, surface.piece.max() + 1))
    points, coarse_faces, origin = collapse(bulky * size, surface.faces, number)
    kept = _select(points / size[origin], bulky, surface, origin)
    up_index, up_weight = _climb(fine, surface, kept, coarse_faces)
    # Where surfaces touch, the vertex that is kept speaks for the row.
    spokesman = np.arange(len(fine))
    spokesman[surface.vertex[surface.row[kept]]] = kept
    rows = spokesman[surface.vertex]
    return MeshLevel(
        vertices=vertices[surface.row[kept]],
        faces=torch.as_tensor(coarse_faces),
        kept=torch.as_tensor(surface.row[kept]),
        up_index=torch.as_tensor(up_index[rows]),
        up_weight=torch.as_tensor(up_weight[rows], dtype=vertices.dtype),
    )


def _local(vertices: np.ndarray, piece: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring each piece near the origin and to a size from 1 to 2.

    Powers of two and multiples of them round nothing, so that a mesh has the same levels in any
    unit and, if its coordinates have the bits, at any place.

    Returns:
        Coordinates ``[V, 3]``, and the size of each vertex's piece in parts of the largest,
        ``[V, 1]``.
    """
    low, high = (np.full((piece.max() + 1, 3), bound) for bound in (np.inf, -np.inf))
    np.minimum.at(low, piece, vertices)
    np.maximum.at(high, piece, vertices)
    exponent = _exponent((high - low).max(1, keepdims=True))
    origin = np.ldexp(np.round(np.ldexp((low + high) / 2, -exponent)), exponent)
    local = np.ldexp(vertices - origin[piece], -exponent[piece])
    return local, np.ldexp(1.0, exponent - exponent.max())[piece]


def _exponent(length: np.ndarray) -> np.ndarray:
    """Return the power of two next below a length."""
    exponent: np.ndarray = np.frexp(length)[1] - 1
    return exponent


def _select(
    points: np.ndarray, fine: np.ndarray, surface: Surface, origin: np.ndarray
) -> np.ndarray:
    """Choose the vertex of the finer level that each moved vertex becomes, within its piece."""
    number = surface.piece.max() + 1
    near = np.empty((len(points), NEAR_VERTICES), np.int64)
    moved = _groups(surface.piece[origin], number)
    for rows, among in zip(moved, _groups(surface.piece, number), strict=True):
        near[rows] = among[near_vertices(points[rows], fine[among])]
    # Its own is a choice that every vertex has, however crowded the place.
    far = (near != origin[:, None]).all(1)
    near[far, -1] = origin[far]
    gap = np.square(points[:, None] - fine[near]).sum(-1)
    best = cheapest_distinct(gap, surface.row[near], len(surface.vertex))
    return np.take_along_axis(near, best[:, None], 1)[:, 0]


def _climb(
    fine: np.ndarray, surface: Surface, kept: np.ndarray, coarse_faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the corners and weights that span each finer vertex, within its piece."""
    index, weight = np.empty((len(fine), 3), np.int64), np.empty((len(fine), 3))
    number = surface.piece.max() + 1
    groups = zip(
        _groups(surface.piece, number),
        _groups(surface.piece[surface.faces[:, 0]], number),
        _groups(surface.piece[kept], number),
        _groups(surface.piece[kept[coarse_faces[:, 0]]], number),
        strict=True,
    )
    here, there = np.empty(len(fine), np.int64), np.empty(len(kept), np.int64)
    for rows, faces, corners, triangles in groups:
        here[rows], there[corners] = np.arange(len(rows)), np.arange(len(corners))
        near, weight[rows] = barycentric_map(
            fine[rows],
            here[surface.faces[faces]],
            fine[kept[corners]],
            there[coarse_faces[triangles]],
        )
        index[rows] = corners[near]
    _stay(index, weight, kept, coarse_faces)
    return index, weight


def _stay(
    index: np.ndarray, weight: np.ndarray, kept: np.ndarray, coarse_faces: np.ndarray
) -> None:
    """Let each kept vertex be itself, also where others lie at its place."""
    own = np.arange(len(kept))[:, None]
    face = np.empty(len(kept), np.int64)
    face[coarse_faces] = np.arange(len(coarse_faces))[:, None]
    found = (index[kept] == own).any(1, keepdims=True)
    index[kept] = np.where(found, index[kept], coarse_faces[face])
    weight[kept] = index[kept] == own


def _groups(label: np.ndarray, number: int) -> list[np.ndarray]:
    """Return the positions of each label in turn."""
    bounds = np.cumsum(np.bincount(label, minlength=number))[:-1]
    return np.split(np.argsort(label, kind="stable"), bounds)
