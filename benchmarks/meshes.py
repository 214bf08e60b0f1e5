"""Closed meshes of a given number of vertices."""

import igl
import torch
from torch import Tensor

from bilayer_graph.body import BodyModel
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
