"""GraphCMR's head, rewritten from its paper: a graph CNN over the mesh alone."""

from itertools import pairwise

import torch
from torch import Tensor, nn

CHANNELS_PER_GROUP = 8


class GraphCMRHead(nn.Module):
    """From the pooled image feature to vertices and a camera, as GraphCMR computes them.

    Features are ``[B, C, N]``. The image is repeated at every vertex; a wide layer, a block from
    ``2 C`` to ``C`` and 5 of ``C`` channels follow, then blocks that narrow to 32 and a linear
    layer give the vertices, and one number a vertex gives the camera. The sparse product runs once
    an item, in a loop. A rewrite in our own words, with as many parameters as the published head
    (1.75 M at 256 channels and 1723 vertices).

    Args:
        image_channels: Size of the pooled image feature.
        channels: Width :math:`C`, a multiple of 16.
        vertices: Template vertices in metres, shape ``[N, 3]``.
        adjacency: Row-normalised adjacency, a sparse tensor ``[N, N]``.

    Shapes:
        - pooled: ``[B, C_image]``
        - output: ``[B, N, 3]`` and ``[B, 3]``

    Source: Kolotouros, Pavlakos, Daniilidis, "Convolutional Mesh Regression for Single-Image Human
    Shape Reconstruction", CVPR 2019.
    """

    vertices: Tensor

    def __init__(
        self, image_channels: int, channels: int, vertices: Tensor, adjacency: Tensor
    ) -> None:
        super().__init__()
        self.register_buffer("vertices", vertices.t().contiguous(), persistent=False)
        wide = 2 * channels

        def blocks(*widths: int) -> list[nn.Module]:
            return [_Block(narrow, out, adjacency) for narrow, out in pairwise(widths)]

        self.features = nn.Sequential(
            _Linear(3 + image_channels, wide), *blocks(wide, *[channels] * 6)
        )
        self.shape = nn.Sequential(*blocks(channels, 64, 32), *_normed(32), _Linear(32, 3))
        self.camera_node = nn.Sequential(*_normed(channels), _Linear(channels, 1), nn.ReLU())
        self.camera = nn.Linear(len(vertices), 3)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vertices and the camera."""
        image = pooled.unsqueeze(2).expand(-1, -1, self.vertices.size(1))
        x = torch.cat([self.vertices.expand(len(pooled), -1, -1), image], dim=1)
        x = self.features(x)
        return self.shape(x).transpose(1, 2), self.camera(self.camera_node(x).squeeze(1))


def _normed(channels: int) -> list[nn.Module]:
    return [nn.GroupNorm(channels // CHANNELS_PER_GROUP, channels), nn.ReLU()]


class _Linear(nn.Module):
    """A linear layer over channels that come first."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels) * in_channels**-0.5)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(self.weight, x) + self.bias.unsqueeze(1)


class _Conv(nn.Module):
    """``A X W + b`` for one item after the other."""

    adjacency: Tensor

    def __init__(self, channels: int, adjacency: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels) * channels**-0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("adjacency", adjacency, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        support = torch.matmul(x.transpose(1, 2), self.weight)
        out = torch.stack([torch.sparse.mm(self.adjacency, item) for item in support])
        return (out + self.bias).transpose(1, 2)


class _Block(nn.Module):
    """A bottleneck of linear layer, convolution and linear layer, each normalised before."""

    def __init__(self, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        super().__init__()
        half = out_channels // 2
        self.inside = nn.Sequential(
            *_normed(in_channels),
            _Linear(in_channels, half),
            *_normed(half),
            _Conv(half, adjacency),
            *_normed(half),
            _Linear(half, out_channels),
        )
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else _Linear(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.skip(x) + self.inside(x)
        return out
