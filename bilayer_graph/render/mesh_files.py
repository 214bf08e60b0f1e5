"""Bodies as meshes for viewers: y up, smooth normals, a material, a name."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import trimesh

CLAY = (204, 194, 184, 255)
"""Colour of the material of bodies."""
UPRIGHT = np.array([1.0, -1.0, -1.0])
"""From camera axes (x right, y down, z forward) to those of viewers (y up, facing +z)."""


def viewer_mesh(vertices: np.ndarray, faces: np.ndarray, floor: bool = False) -> trimesh.Trimesh:
    """Return a body as a mesh in the axes of viewers.

    Args:
        vertices: ``[V, 3]``, metres in camera axes.
        faces: ``[F, 3]``.
        floor: Whether the lowest point is moved to y = 0.
    """
    upright = vertices * UPRIGHT
    if floor:
        upright[:, 1] -= upright[:, 1].min()
    material = trimesh.visual.material.PBRMaterial(
        name="clay", baseColorFactor=CLAY, metallicFactor=0.0, roughnessFactor=0.8
    )
    visual = trimesh.visual.TextureVisuals(material=material)
    mesh = trimesh.Trimesh(upright, faces, process=False, visual=visual)
    mesh.metadata["name"] = "person"
    return mesh


def write_glb(mesh: trimesh.Trimesh, path: Path) -> None:
    """Write a mesh as binary glTF, normals included."""
    # Given a path, trimesh leaves the file open where the disk is full.
    with path.open("wb") as file:
        mesh.export(file, file_type="glb", include_normals=True)


def write_obj(mesh: trimesh.Trimesh, path: Path) -> None:
    """Write a mesh as Wavefront OBJ, to hundredths of a millimetre, normals included."""
    path.write_text(
        "# y up, metres\no person\n"
        + _lines("v %.5f %.5f %.5f\n", np.asarray(mesh.vertices))
        + _lines("vn %.3f %.3f %.3f\n", np.asarray(mesh.vertex_normals))
        + _face_lines(np.asarray(mesh.faces, dtype=np.int64).tobytes())
    )


def _lines(line: str, rows: np.ndarray) -> str:
    return line * len(rows) % tuple(rows.ravel().tolist())


@lru_cache(maxsize=1)
def _face_lines(faces: bytes) -> str:
    """Return the faces as text; people share them, and they are two thirds of the work."""
    corners = np.frombuffer(faces, dtype=np.int64).reshape(-1, 3) + 1
    return _lines("f %d//%d %d//%d %d//%d\n", corners.repeat(2, axis=1))
