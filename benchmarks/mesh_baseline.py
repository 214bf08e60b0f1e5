"""The baseline without a skeleton: GraphCMR's graph head, built from this package's layers."""

from itertools import pairwise

from torch import Tensor, nn

from bilayer_graph.models import MeshFeatures
from bilayer_graph.nn import GCNBlock, GroupNorm, Linear, StaticGraph

NUM_BLOCKS = 5
SHAPE_WIDTHS = (64, 32)


class MeshOnlyHead(nn.Module):
    r"""A graph CNN over the mesh alone: from the pooled image feature to vertices and a camera.

    A wide input layer, one block from ``2 C`` to ``C`` and 5 of ``C`` channels; two narrowing
    blocks and a linear layer give the vertices, and one number a vertex gives the camera. The input
    layer is split as in :class:`~bilayer_graph.models.MeshFeatures`: the same function with
    fewer multiplications than GraphCMR's own code, which repeats the image at every vertex.

    Args:
        image_channels: Size of the pooled image feature.
        channels: Width :math:`C`, a multiple of 16.
        vertices: Template vertices in metres, shape ``[N, 3]``.
        mesh: The mesh graph.

    Shapes:
        - pooled: ``[B, C_image]``
        - output: ``[B, N, 3]`` and ``[B, 3]``

    Source: Kolotouros, Pavlakos, Daniilidis, "Convolutional Mesh Regression for Single-Image Human
    Shape Reconstruction", CVPR 2019.
    """

    def __init__(
        self, image_channels: int, channels: int, vertices: Tensor, mesh: StaticGraph
    ) -> None:
        super().__init__()
        self.mesh = mesh
        self.features = MeshFeatures(image_channels, 2 * channels, vertices)
        widths = [2 * channels] + [channels] * (NUM_BLOCKS + 1)
        self.blocks = _blocks(widths)
        self.shape_blocks = _blocks([channels, *SHAPE_WIDTHS])
        self.shape_norm = GroupNorm(SHAPE_WIDTHS[-1], relu=True)
        self.shape = Linear(SHAPE_WIDTHS[-1], 3)
        self.camera_norm = GroupNorm(channels, relu=True)
        self.camera_node = Linear(channels, 1)
        self.camera = Linear(vertices.size(0), 3)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vertices and the camera."""
        graph = self.mesh()
        x = self.features(pooled)
        for block in self.blocks:
            x = block(x, graph)
        camera = self.camera_node(self.camera_norm(x)).relu()
        for block in self.shape_blocks:
            x = block(x, graph)
        return self.shape(self.shape_norm(x)), self.camera(camera.squeeze(-1))


def _blocks(widths: list[int]) -> nn.ModuleList:
    return nn.ModuleList(GCNBlock(wide, narrow) for wide, narrow in pairwise(widths))
