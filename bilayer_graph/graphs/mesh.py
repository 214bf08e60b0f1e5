"""The mesh graph: every vertex linked with itself and with its neighbours."""

import warnings

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.edges import edges_by_target
from bilayer_graph.graphs.shape import Shape, read_faces, read_mesh


def mesh_graph(faces: Shape, num_vertices: int | None = None) -> tuple[EdgeIndex, Tensor]:
    r"""Build the fixed mesh adjacency :math:`A_m`: binary, with self loops, row-normalised.

    .. math:: (A_m)_{ij} = 1 / (\deg(i) + 1) \quad \text{if } i = j \text{ or } (i, j)
        \text{ is an edge of a face}

    Args:
        faces: Triangles, shape ``[F, 3]``, or a mesh that has them: ``trimesh.Trimesh``, PyG
            ``Data`` with ``face``, or ``(vertices, faces)``.
        num_vertices: Number of vertices :math:`N`, which a mesh says itself; a vertex that no face
            uses keeps its self loop.

    Warns:
        If vertices of a mesh lie on each other, as along the seams of textured meshes: no edge
        crosses a seam.

    Returns:
        ``edge_index``, an ``EdgeIndex`` of shape ``[2, E]`` sorted by target, and ``edge_weight``
        of shape ``[E]``.

    Raises:
        InputError: If ``faces`` is not ``[F, 3]`` or points outside the mesh.
    """
    if not isinstance(faces, (Tensor, np.ndarray)):
        vertices, faces = read_mesh("faces", faces)
        warn_of_seams("faces", vertices, faces)
        num_vertices = vertices.size(0)
    elif num_vertices is None:
        problem = "faces do not say how many vertices there are"
        raise InputError("num_vertices", None, problem, "Give their number, or a mesh")
    return link_faces(read_faces("faces", faces, num_vertices), num_vertices)


def warn_of_seams(name: str, vertices: Tensor, faces: Tensor) -> None:
    """Warn if corners of the faces lie on each other and are other vertices."""
    corners = faces.unique()
    doubled = len(corners) - len(vertices[corners].unique(dim=0))
    if doubled:
        text = f"{name}: {doubled} of {len(corners)} vertices lie on others, and no edge joins them"
        remedy = "merge them (trimesh: merge_vertices(merge_tex=True, merge_norm=True))"
        warnings.warn(f"{text}; {remedy} unless they belong to separate pieces.", stacklevel=3)


def link_faces(
    faces: Tensor, num_vertices: int, dtype: torch.dtype | None = None
) -> tuple[EdgeIndex, Tensor]:
    """Build :func:`mesh_graph` of checked faces, with weights of a dtype."""
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).t()
    return link_edges(torch.cat([sides, sides.flip(0)], dim=1), num_vertices, dtype)


def link_edges(
    edge_index: Tensor, num_nodes: int, dtype: torch.dtype | None = None
) -> tuple[EdgeIndex, Tensor]:
    """Add self loops to edges, drop copies, sort by target, and weigh each 1 / in-degree."""
    loops = torch.arange(num_nodes, device=edge_index.device).expand(2, -1)
    target, source = torch.unique(torch.cat([edge_index.flip(0), loops], dim=1), dim=1)
    degree = torch.bincount(target, minlength=num_nodes).to(dtype or torch.get_default_dtype())
    edges = edges_by_target(torch.stack([source, target]), num_nodes, num_nodes)
    return edges, degree.reciprocal()[target]
