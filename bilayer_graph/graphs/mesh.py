"""The mesh graph: every vertex linked with itself and with its neighbours."""

import torch
from torch import Tensor

from bilayer_graph.graphs.check import check_faces


def mesh_graph(faces: Tensor, num_vertices: int) -> tuple[Tensor, Tensor]:
    r"""Build the fixed mesh adjacency :math:`A_m`: binary, with self loops, row-normalised.

    .. math:: (A_m)_{ij} = 1 / (\deg(i) + 1) \quad \text{if } i = j \text{ or } (i, j)
        \text{ is an edge of a face}

    Args:
        faces: Triangles, shape ``[F, 3]``.
        num_vertices: Number of vertices :math:`N`; a vertex that no face uses keeps its self loop.

    Returns:
        ``edge_index`` of shape ``[2, E]``, sorted by target, and ``edge_weight`` of shape ``[E]``.

    Raises:
        InputError: If ``faces`` is not ``[F, 3]`` or points outside the mesh.
    """
    check_faces(faces, num_vertices)
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).t()
    loops = torch.arange(num_vertices, device=faces.device).expand(2, -1)
    edges = torch.cat([sides, sides.flip(0), loops], dim=1)
    target, source = torch.unique(edges, dim=1)
    degree = torch.bincount(target, minlength=num_vertices)
    return torch.stack([source, target]), degree.to(torch.get_default_dtype()).reciprocal()[target]
