"""From node features to coordinates and to the camera."""

import torch
from torch import Tensor, nn

from bilayer_graph.nn import Linear, WideLinear
from bilayer_graph.nn.bottleneck import make_norm

FIRST_SCALE = 0.9
"""Scale that the camera starts from: a standing adult of 1.7 m fills three quarters of the crop."""


class NodeHead(nn.Module):
    r"""Two graph-linear layers.

    .. math:: Y = L_2(\mathrm{ReLU}(L_1(\mathrm{ReLU}(\mathrm{norm}(X)))))

    The last layer is a :class:`~bilayer_graph.nn.WideLinear`.

    Args:
        in_channels: Size of each input feature, a multiple of 8.
        out_channels: Size of each output feature.
        norm: ``"group"`` or ``"layer"``.

    Shapes:
        - input: ``[B, N, C_in]``
        - output: ``[B, N, C_out]``, float32 (or float64)
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "group") -> None:
        super().__init__()
        self.norm = make_norm(in_channels, norm)
        self.lin_in = Linear(in_channels, in_channels // 2)
        self.lin_out = WideLinear(in_channels // 2, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return one output a node."""
        out: Tensor = self.lin_out(self.lin_in(self.norm(x)).relu())
        return out


class CameraHead(nn.Module):
    r"""A weak-perspective camera :math:`(s, t_x, t_y)`: the mean over the vertices of a node head.

    Args:
        channels: Size of each vertex's feature, a multiple of 8.
        norm: ``"group"`` or ``"layer"``.

    Shapes:
        - input: ``[B, N, C]``
        - output: ``[B, 3]``; ``s`` in crop units a metre, positive; ``t`` in metres
    """

    def __init__(self, channels: int, norm: str = "group") -> None:
        super().__init__()
        self.head = NodeHead(channels, 3, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return the camera."""
        log_scale, shift = self.head(x).mean(dim=1).split([1, 2], dim=1)
        return torch.cat([FIRST_SCALE * log_scale.exp(), shift], dim=1)
