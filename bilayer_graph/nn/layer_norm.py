"""LayerNorm for node features."""

import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.nn.node_norm import LazyNodeNorm, NodeNorm


class LayerNorm(NodeNorm):
    r"""Normalisation of the channels of each node on its own, with an optional ReLU.

    .. math:: y = \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) + \epsilon}} \, w + b

    A node's output depends on that node only, so a graph of few nodes keeps the differences between
    graphs that GroupNorm's statistics over all nodes take away.

    Args:
        channels: Number of channels :math:`C`.
        eps: Added to the variance.
        relu: Whether a ReLU follows.

    Shapes:
        - x: ``[.., C]``
        - batch, batch_size: accepted as :class:`~bilayer_graph.nn.GroupNorm` does, and not needed
        - output: as ``x``

    Source: Ba, Kiros, Hinton, "Layer Normalization", 2016.
    """

    def forward(
        self, x: Tensor, batch: Tensor | None = None, batch_size: int | None = None
    ) -> Tensor:
        """Return the normalised features."""
        out = F.layer_norm(x, (self.channels,), self.weight, self.bias, self.eps)
        return out.relu() if self.relu else out


class LazyLayerNorm(LazyNodeNorm, LayerNorm):
    """A :class:`LayerNorm` that takes its number of channels from the first input.

    Args:
        eps: Added to the variance.
        relu: Whether a ReLU follows.
    """

    cls_to_become = LayerNorm
