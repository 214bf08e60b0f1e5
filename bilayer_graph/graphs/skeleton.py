"""The skeleton graph: every joint linked with every joint, the closer the stronger."""

import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import check_points
from bilayer_graph.graphs.distance import MIN_DISTANCE, reciprocal_distance


def skeleton_graph(joints: Tensor, *, min_distance: float = MIN_DISTANCE) -> tuple[Tensor, Tensor]:
    r"""Build the fixed skeleton adjacency :math:`A_s` of the template joints.

    .. math:: A_s = \mathrm{RowNorm}(a), \qquad a_{ij} = 1 / \max(d_{ij}, d_{min}) \;(i \ne j),
        \qquad a_{ii} = \max_{j \ne i} a_{ij}

    Args:
        joints: Template joints in metres, shape ``[N, 3]``, at least two.
        min_distance: Lower bound of a distance, in metres.

    Returns:
        ``edge_index`` of shape ``[2, N * N]`` and ``edge_weight`` of shape ``[N * N]``; the weights
        of the edges that enter one joint sum to 1.

    Raises:
        InputError: If ``joints`` is not a finite ``[N, 3]`` tensor of two joints or more.
    """
    check_points("joints", joints)
    if joints.size(0) < 2:
        raise InputError("joints", list(joints.shape), "one joint has no bones", "Give two or more")
    weight = reciprocal_distance(joints, joints, min_distance)
    weight.fill_diagonal_(0)
    weight.diagonal().copy_(weight.amax(dim=1))
    weight = weight / weight.sum(dim=1, keepdim=True)
    index = torch.arange(joints.size(0), device=joints.device)
    target, source = torch.meshgrid(index, index, indexing="ij")
    return torch.stack([source.flatten(), target.flatten()]), weight.flatten()
