"""Triangles as files hold them, made the closed surfaces that they stand for, or refused."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from bilayer_graph.errors import InputError

# Distance up to which vertices along a seam are copies, in parts of the size of the mesh.
_ROUNDING = 1e-6
# Near places of a place, on average, beyond which they are details and no rounding.
_CROWD = 32


class Surface(NamedTuple):
    """Closed surfaces: every edge has two faces, every vertex one fan of them, all look outside.

    Attributes:
        row: Row of the mesh that each vertex is, rising, shape ``[V]``; a row that several
            surfaces touch in is there once for each.
        vertex: Vertex that each row of the mesh is, shape ``[N]``; copies of a row are one vertex.
        faces: Triangles, as indices of the vertices, shape ``[F, 3]``.
        piece: Number of the connected surface that each vertex is on, shape ``[V]``.
    """

    row: np.ndarray
    vertex: np.ndarray
    faces: np.ndarray
    piece: np.ndarray


def closed_surface(vertices: np.ndarray, faces: np.ndarray) -> Surface:
    """Mend the faces of a closed mesh.

    Copies of a vertex along a seam count as one, faces that use a vertex twice and copies of a face
    go, faces that are turned round turn back, and surfaces that touch in a vertex part there.

    Args:
        vertices: Coordinates, ``[N, 3]``, none above 1.
        faces: Triangles, ``[F, 3]``.

    Raises:
        InputError: If the faces are no closed surface with two sides, or leave vertices out.
    """
    merged = np.arange(len(vertices))
    proper = _proper_faces(faces)
    rim = _open_vertices(proper, len(vertices))
    if len(rim):
        merged[rim] = rim[
            _first_at_place(vertices[rim], _ROUNDING * np.ptp(vertices, axis=0).max())
        ]
        proper = _proper_faces(merged[faces])
    _check_used(merged, proper)
    mates = _mates(proper, len(vertices), faces.shape)
    turned, piece = _orient(vertices, proper, mates)
    row, split = _fans(proper, mates)
    split[turned] = split[turned][:, [0, 2, 1]]
    piece_of = np.empty(len(row), np.int64)
    piece_of[split] = piece[:, None]
    return Surface(row, np.searchsorted(row, merged), split, piece_of)


def _proper_faces(faces: np.ndarray) -> np.ndarray:
    """Drop faces that use a vertex twice, and all but the first of faces of the same vertices."""
    corners = np.sort(faces, axis=1)
    proper = (np.diff(corners, axis=1) > 0).all(1)
    first = np.unique(corners[proper], axis=0, return_index=True)[1]
    return faces[proper][np.sort(first)]


def _edge_keys(faces: np.ndarray, num_vertices: int) -> np.ndarray:
    """Name the edge of each side by a number; side ``3 f + s`` starts at corner ``s`` of ``f``."""
    sides = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    keys: np.ndarray = sides.min(1) * num_vertices + sides.max(1)
    return keys


def _open_vertices(faces: np.ndarray, num_vertices: int) -> np.ndarray:
    """Return the vertices of the edges of one face."""
    keys, uses = np.unique(_edge_keys(faces, num_vertices), return_counts=True)
    return np.unique(np.stack(np.divmod(keys[uses == 1], num_vertices)))


def _first_at_place(points: np.ndarray, rounding: float) -> np.ndarray:
    """Return for each point the first of those at its place."""
    # Zero of either sign is one place.
    _, first, place = np.unique(points + 0.0, axis=0, return_index=True, return_inverse=True)
    place = _near_places(points[first], rounding)[place.ravel()]
    return np.unique(place, return_index=True)[1][place]


def _near_places(points: np.ndarray, rounding: float) -> np.ndarray:
    """Label places so that near ones have one number."""
    tree = cKDTree(points)
    if tree.count_neighbors(tree, rounding) > _CROWD * len(points):
        return np.arange(len(points))
    pairs = tree.query_pairs(rounding, output_type="ndarray")
    return _components(pairs[:, 0], pairs[:, 1], len(points))


def _check_used(merged: np.ndarray, faces: np.ndarray) -> None:
    alone = np.setdiff1d(merged, faces)
    if len(alone):
        problem = f"no face uses {len(alone)} of them, the first in row {alone[0]}"
        remedy = "Remove them, for example with trimesh's remove_unreferenced_vertices()"
        raise InputError("vertices", [len(merged), 3], problem, remedy)


def _mates(faces: np.ndarray, num_vertices: int, shape: tuple[int, ...]) -> np.ndarray:
    """Pair the sides that lie on each other, ``[E, 2]``; every edge must have two."""
    keys = _edge_keys(faces, num_vertices)
    edges, uses = np.unique(keys, return_counts=True)
    crowded, bare = uses > 2, uses < 2
    if crowded.any():
        problem = f"more than two faces meet in {_count(edges[crowded], num_vertices)}"
        raise InputError("faces", list(shape), problem, "Give a closed mesh without inner walls")
    if bare.any():
        problem = f"{_count(edges[bare], num_vertices, ' lack two faces')}"
        remedy = "Give a closed triangle mesh: merge vertices that lie on each other, fill holes"
        raise InputError("faces", list(shape), problem, remedy)
    return np.argsort(keys, kind="stable").reshape(-1, 2)


def _count(edges: np.ndarray, num_vertices: int, what: str = "") -> str:
    """Say how many edges and which is the first."""
    first, last = divmod(int(edges[0]), num_vertices)
    return f"{len(edges)} edges{what}, the first from vertex {first} to {last}"


def _orient(
    vertices: np.ndarray, faces: np.ndarray, mates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which faces to turn round, the fewer of each piece, and each face's piece."""
    number, tail = len(faces), faces.ravel()
    one, other = mates.T // 3
    # Each face as it is and turned round; neighbours agree where they run along an edge opposite.
    clash = tail[mates[:, 0]] == tail[mates[:, 1]]
    ends = np.concatenate([other + number * clash, other + number * ~clash])
    label = _components(np.concatenate([one, one + number]), ends, 2 * number)
    as_is, turned = label[:number], label[number:]
    if (as_is == turned).any():
        problem = "a surface with one side only, like a Klein bottle"
        raise InputError("faces", list(faces.shape), problem, "Give a surface with two sides")
    _, piece = np.unique(np.minimum(as_is, turned), return_inverse=True)
    turn = as_is > turned
    votes = np.bincount(piece, np.where(turn, 1, -1))
    volume = np.bincount(piece, np.where(turn, -1, 1) * _volumes(vertices, faces))
    return turn ^ ((votes > 0) | ((votes == 0) & (volume < 0)))[piece], piece


def _volumes(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return six times the signed volumes between each face and one point."""
    corners = vertices[faces] - vertices[faces[0, 0]]
    volumes: np.ndarray = (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum(1)
    return volumes


def _fans(faces: np.ndarray, mates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split vertices with several fans of faces: return the parts' rows, and their faces."""
    tail = faces.ravel()
    corners = np.stack([mates, mates // 3 * 3 + (mates + 1) % 3], axis=-1)
    clash = tail[mates[:, 0]] == tail[mates[:, 1]]
    other = np.where(clash[:, None], corners[:, 1], corners[:, 1, ::-1])
    label = _components(corners[:, 0].ravel(), other.ravel(), len(tail))
    row = tail[np.unique(label, return_index=True)[1]]
    order = np.argsort(row, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return row[order], rank[label].reshape(-1, 3)


def _components(source: np.ndarray, target: np.ndarray, number: int) -> np.ndarray:
    links = coo_array((np.ones(len(source), np.int8), (source, target)), shape=(number, number))
    label: np.ndarray = connected_components(links, directed=False)[1]
    return label
