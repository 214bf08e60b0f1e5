"""Edge collapse: fewer vertices for closed surfaces."""

from numbers import Integral

import igl
import numpy as np

from bilayer_graph.errors import InputError


def decimate(
    vertices: np.ndarray, faces: np.ndarray, num_vertices: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices ``[N, 3]`` and faces ``[F, 3]`` of a decimated closed mesh.

    The mesh must be one already: :func:`~bilayer_graph.graphs.mesh_level` mends.

    Raises:
        InputError: If the mesh cannot reach ``num_vertices``.
    """
    check_size(num_vertices, len(vertices))
    return collapse(vertices, faces, num_vertices)[:2]


def collapse(
    vertices: np.ndarray, faces: np.ndarray, num_vertices: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decimate closed surfaces by quadric edge collapse.

    A closed triangle mesh has ``F = 2 N - c`` faces, where ``c`` is twice its Euler characteristic
    (4 for one surface without handles). The collapse keeps ``c``, which turns the number of
    vertices into the number of faces that it stops at.

    Args:
        vertices: Coordinates ``[V, 3]``, of a size near 1 and near the origin.
        faces: Triangles ``[F, 3]`` of a :class:`~bilayer_graph.graphs.surface.Surface`: the
            collapse never ends on others.
        num_vertices: Number of vertices to keep.

    Returns:
        Vertices ``[N, 3]``, their faces, and the vertex that each has come from, ``[N]``.

    Raises:
        InputError: If the mesh cannot reach ``num_vertices``.

    Source: Garland and Heckbert, "Surface simplification using quadric error metrics", 1997.
    """
    target = len(faces) - 2 * (len(vertices) - int(num_vertices))
    coarse, coarse_faces, _, origin = igl.qslim(
        np.asfortranarray(vertices, np.float64),
        np.asfortranarray(faces, np.int32),
        # No closed surface has fewer.
        max(target, 4),
    )
    if len(coarse) != num_vertices:
        problem = f"edge collapse stopped at {len(coarse)} vertices"
        remedy = "Give a larger number, or a smoother mesh"
        raise InputError("num_vertices", num_vertices, problem, remedy)
    lost = ~np.isfinite(coarse).all(1)
    coarse[lost] = vertices[origin[lost]]
    return np.ascontiguousarray(coarse), np.ascontiguousarray(coarse_faces, np.int64), origin


def check_size(size: object, available: int) -> None:
    """Raise :class:`InputError` unless this many vertices can be kept of those available."""
    if not (isinstance(size, Integral) and 4 <= int(size) < available):
        problem = f"the mesh has {available} vertices"
        remedy = f"Give a whole number from 4 to {available - 1}"
        raise InputError(
            "num_vertices", size, problem, remedy if available > 4 else "Give a larger mesh"
        )
