"""The fusion graph: joints linked with the vertices they can move, the closer the stronger."""

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import check_points
from bilayer_graph.graphs.distance import MIN_DISTANCE, reciprocal_distance


def fusion_graph(
    joints: Tensor, vertices: Tensor, k: int | None = None, *, min_distance: float = MIN_DISTANCE
) -> tuple[Tensor, Tensor]:
    r"""Build the prior :math:`A_{fs}` of the bipartite fusion graph, from joints to vertices.

    .. math:: (A_{fs})_{vj} = 1 / \max(\lVert x_v - x_j \rVert, d_{min})

    Args:
        joints: Template joints in metres, shape ``[N_s, 3]``.
        vertices: Template vertices in metres, shape ``[N_m, 3]``.
        k: Link each vertex with its ``k`` nearest joints only; ``None`` links all (the paper's).
        min_distance: Lower bound of a distance, in metres.

    Returns:
        ``edge_index`` of shape ``[2, E]`` (joint, vertex), sorted by vertex and then by joint, and
        ``edge_weight`` of shape ``[E]``; :math:`E = N_s N_m`, or :math:`k N_m`.

    Raises:
        InputError: If the points are not finite ``[N, 3]`` tensors or ``k`` is out of range.
    """
    check_points("joints", joints)
    check_points("vertices", vertices)
    num_joints, num_vertices = joints.size(0), vertices.size(0)
    if k is not None and not 1 <= k <= num_joints:
        raise InputError(
            "k",
            k,
            f"there are {num_joints} joints",
            f"Give a number from 1 to {num_joints}, or None",
        )
    weight = reciprocal_distance(vertices, joints, min_distance)
    nearest = weight.topk(k or num_joints, dim=1).indices.sort(dim=1).values
    vertex = torch.arange(num_vertices, device=vertices.device).repeat_interleave(nearest.size(1))
    return torch.stack([nearest.flatten(), vertex]), weight.gather(1, nearest).flatten()
