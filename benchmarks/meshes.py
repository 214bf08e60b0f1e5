"""Closed meshes of a given number of vertices, and meshes of users."""

from pathlib import Path

import igl
import numpy as np
import torch
import trimesh
from torch import Tensor

from bilayer_graph.body import COCO_NAMES, SMPL_JOINT_NAMES, BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.graphs.collapse import decimate
from bilayer_graph.models.template import MESH_SIZES, body_template


def body_faces(num_vertices: int) -> Tensor:
    """Return the triangles ``[F, 3]`` of the built-in body at some number of vertices.

    The body's own levels where there is one (6890, 1723, 431); otherwise the body with its faces
    divided until it has enough vertices, then decimated.

    Raises:
        InputError: If the number cannot be reached.
    """
    body = BodyModel.load()
    if num_vertices in (body.v_template.size(0), *MESH_SIZES):
        return body_template(body, num_vertices).faces
    vertices, faces = body.v_template.double().numpy(), body.faces.numpy()
    while len(vertices) <= num_vertices:
        vertices, faces = igl.upsample(vertices, faces)
    return torch.as_tensor(decimate(vertices, faces, num_vertices)[1])


def read_mesh(path: Path) -> trimesh.Trimesh:
    """Read a mesh; vertices that lie on each other become one, and the number of them is printed.

    Raises:
        InputError: If trimesh reads no triangles from the file.
    """
    remedy = "Give a mesh in a format that trimesh reads, such as OBJ, PLY, OFF, STL or GLB"
    try:
        mesh = trimesh.load_mesh(path, process=False)
    except Exception as error:  # Each format has its own.
        raise InputError("--mesh", path, f"cannot be read ({error})", remedy) from None
    if not len(getattr(mesh, "faces", ())):
        raise InputError("--mesh", path, "has no triangles", remedy)
    given = len(mesh.vertices)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    merged = f", {given - len(mesh.vertices)} merged into others" * (given > len(mesh.vertices))
    print(f"{path.name}: {len(mesh.vertices)} vertices{merged}, {len(mesh.faces)} triangles")
    return mesh


def still_body(mesh: trimesh.Trimesh) -> BodyModel:
    """Return a body of a user's mesh for a model to be built on: 1.7 m long, it does not bend.

    Its joints are vertices spread over the mesh; where they are has no influence on the time.
    """
    number, bones = len(mesh.vertices), np.arange(len(SMPL_JOINT_NAMES))
    vertices = np.asarray(mesh.vertices, np.float32)
    fields = {
        "v_template": 1.7 * vertices / np.ptp(vertices, axis=0).max(),
        "shapedirs": np.zeros((number, 3, 10), np.float32),
        "J_regressor": _spread(len(bones), number),
        "weights": np.eye(1, len(bones), dtype=np.float32).repeat(number, axis=0),
        "kintree_table": np.stack([bones - 1, bones]),
        "f": np.asarray(mesh.faces),
        "keypoint_regressor": _spread(len(COCO_NAMES), number),
    }
    return BodyModel(fields)


def _spread(points: int, number: int) -> np.ndarray:
    """Return a matrix that selects so many vertices of a mesh."""
    matrix = np.zeros((points, number), np.float32)
    matrix[np.arange(points), np.linspace(0, number - 1, points).astype(int)] = 1
    return matrix
