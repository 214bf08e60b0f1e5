"""The skeleton graph: every joint linked with every joint, the closer the stronger."""

from torch import Tensor
from torch_geometric import EdgeIndex

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.distance import MIN_DISTANCE
from bilayer_graph.graphs.points import point_graph
from bilayer_graph.graphs.shape import Shape, read_points


def skeleton_graph(
    joints: Shape, *, min_distance: float = MIN_DISTANCE
) -> tuple[EdgeIndex, Tensor]:
    r"""Build the fixed skeleton adjacency :math:`A_s` of the template joints.

    .. math:: A_s = \mathrm{RowNorm}(a), \qquad a_{ij} = 1 / \max(d_{ij}, d_{min}) \;(i \ne j),
        \qquad a_{ii} = \max_{j \ne i} a_{ij}

    Args:
        joints: Template joints in metres, shape ``[N, 3]``, at least two.
        min_distance: Lower bound of a distance, in metres.

    Returns:
        ``edge_index``, an ``EdgeIndex`` of shape ``[2, N * N]`` sorted by target, and
        ``edge_weight`` of shape ``[N * N]``; the weights of the edges that enter one joint sum
        to 1.

    Raises:
        InputError: If ``joints`` is not a finite ``[N, 3]`` tensor of two joints or more.
    """
    pos = read_points("joints", joints)
    if pos.size(0) < 2:
        raise InputError("joints", list(pos.shape), "one joint has no bones", "Give two or more")
    return point_graph(pos, min_distance=min_distance)
