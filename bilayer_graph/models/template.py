"""The template that a model deforms: its joints, its mesh, and the way up to the full mesh."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.graphs import MeshLevel, mesh_levels

MESH_SIZES = (1723, 431)
"""Numbers of vertices of the coarser meshes, each made from the one before it."""


@dataclass(frozen=True)
class Template:
    """A body at rest, at the resolution that a model works on.

    Attributes:
        joints: Joints in metres, pelvis-centred, shape ``[N_s, 3]``.
        vertices: Vertices in metres, pelvis-centred, shape ``[N_m, 3]``.
        faces: Triangles, shape ``[F, 3]``.
        index: Row of the full mesh that each vertex is, shape ``[N_m]``.
        joint_regressor: Joints from these vertices, shape ``[N_s, N_m]``; rows sum to 1.
        levels: The mesh levels between the full mesh and this one, finest first.
    """

    joints: Tensor
    vertices: Tensor
    faces: Tensor
    index: Tensor
    joint_regressor: Tensor
    levels: tuple[MeshLevel, ...]

    def digest(self) -> str:
        """Return a fingerprint of the topology; weights fit the template they were trained on."""
        contents = torch.cat([self.faces.flatten(), self.index]).cpu().numpy()
        return hashlib.sha256(contents.astype("<i4").tobytes()).hexdigest()[:16]


def body_template(body: BodyModel, num_vertices: int) -> Template:
    """Build the template of a body at one of its mesh sizes.

    Args:
        body: The body; if its file carries no mesh levels, they are made by decimation.
        num_vertices: The body's own number of vertices or fewer; of a body that carries mesh
            levels, one of :data:`MESH_SIZES`.

    Returns:
        The template, on the CPU.

    Raises:
        InputError: If ``num_vertices`` is no mesh size of the body, or a mesh without levels cannot
            be decimated, see :func:`~bilayer_graph.graphs.mesh_levels`.
    """
    full = body.v_template.size(0)
    sizes = [size for size in MESH_SIZES if size < full]
    if not body.level_arrays and num_vertices < full:
        sizes = sorted({*sizes, num_vertices}, reverse=True)
    if num_vertices not in (full, *sizes):
        raise InputError(
            "num_vertices", num_vertices, "no mesh of this size", f"Give one of {[full, *sizes]}"
        )
    vertices = body.v_template.cpu() - (body.J_regressor[:1] @ body.v_template).cpu()
    faces, index = body.faces.cpu(), torch.arange(full)
    regressor = body.joint_regressor.cpu()
    joints = regressor @ vertices
    wanted = [size for size in sizes if size >= num_vertices] if num_vertices != full else []
    levels = _stored_levels(body, wanted) or tuple(mesh_levels(vertices, faces, wanted))
    for level in levels:
        dense_up = regressor.new_zeros(level.up_index.size(0), level.kept.numel())
        dense_up.scatter_add_(1, level.up_index, level.up_weight)
        regressor = regressor @ dense_up
        vertices, faces, index = vertices[level.kept], level.faces, index[level.kept]
    return Template(joints, vertices, faces, index, regressor, levels)


def _stored_levels(body: BodyModel, sizes: list[int]) -> tuple[MeshLevel, ...]:
    """Return the levels that the body's file carries, or none if it lacks one of them."""
    arrays = body.level_arrays
    if any(f"level_{size}_vertices" not in arrays for size in sizes):
        return ()
    levels, vertices, fine = [], body.v_template.cpu(), body.v_template.size(0)
    for size in sizes:
        kept = arrays[f"level_{size}_vertices"]
        vertices = vertices[kept]
        levels.append(
            MeshLevel(
                vertices=vertices,
                faces=arrays[f"level_{size}_faces"],
                kept=kept,
                up_index=arrays[f"up_{size}_to_{fine}_index"],
                up_weight=arrays[f"up_{size}_to_{fine}_weight"],
            )
        )
        fine = size
    return tuple(levels)
