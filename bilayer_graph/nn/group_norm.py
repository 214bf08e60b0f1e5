"""GroupNorm for node features."""

from torch import Tensor

from bilayer_graph.graphs.batch import check_batch
from bilayer_graph.nn.node_norm import LazyNodeNorm, NodeNorm
from bilayer_graph.ops import group_norm, segment_group_norm

CHANNELS_PER_GROUP = 8


class GroupNorm(NodeNorm):
    r"""Normalisation of groups of 8 channels over the nodes of each graph.

    .. math:: y = \gamma \, (x - \mu_{bg}) / \sqrt{\sigma^2_{bg} + \epsilon} + \beta

    with the mean and the variance over all nodes of graph :math:`b` and all channels of group
    :math:`g`; see :func:`~bilayer_graph.ops.group_norm`.

    Args:
        channels: Number of channels :math:`C`, a multiple of 8.
        eps: Added to the variance.
        relu: Whether a ReLU follows, which costs less here than as a layer of its own.

    Shapes:
        - x: ``[N, C]`` (one graph) or ``[B, N, C]`` (a batch over one topology)
        - batch: ``[N]``, the graph of each node, for a disjoint union ``[N, C]`` of graphs
        - batch_size: the number of graphs in ``batch``, its largest plus one if ``None``
        - output: as ``x``

    Raises:
        InputError: If ``channels`` is no such multiple, or the features or ``batch`` do not fit.

    Source: Wu and He, "Group Normalization", 2018; 8 channels a group as in GraphCMR.
    """

    multiple = CHANNELS_PER_GROUP

    def forward(
        self, x: Tensor, batch: Tensor | None = None, batch_size: int | None = None
    ) -> Tensor:
        """Return the normalised features."""
        groups = self.channels // CHANNELS_PER_GROUP
        options = (groups, self.weight, self.bias, self.eps, self.relu)
        if batch is None:
            return group_norm(x, *options)
        check_batch("batch", batch, x.size(0))
        number = _count_graphs(batch) if batch_size is None else batch_size
        return segment_group_norm(x, batch, number, *options)


class LazyGroupNorm(LazyNodeNorm, GroupNorm):
    """A :class:`GroupNorm` that takes its number of channels from the first input.

    Args:
        eps: Added to the variance.
        relu: Whether a ReLU follows.
    """

    cls_to_become = GroupNorm


def _count_graphs(batch: Tensor) -> int:
    return int(batch.max()) + 1 if batch.numel() else 0
