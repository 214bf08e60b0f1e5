"""A head like FastMETRO-S, rewritten from its paper: a transformer instead of graph layers."""

import torch
from torch import Tensor, nn

WIDTHS, HEADS, NUM_JOINTS = (512, 128), 8, 14


class FastMetroHead(nn.Module):
    """From the last feature map to vertices and a camera, as FastMETRO-S computes them.

    The map's pixels and a camera token go through an encoder, tokens of 14 joints and 431 vertices
    through a decoder that looks at them: one layer each at 512 channels, then at 128. A linear
    layer gives 3D positions, another one the vertices of the next finer mesh. A rewrite in our own
    words, with torch's transformer layers and as many parameters as the published head (10.0 M,
    without the last upsampling); positions are added once, before the first layer, and vertices
    attend to all others.

    Args:
        image_channels: Channels of the last feature map.
        vertices: Number of coarse vertices.
        fine_vertices: Number of vertices of the next finer mesh.

    Shapes:
        - image: ``[B, C_image, H, W]``
        - output: ``[B, N_fine, 3]`` and ``[B, 3]``

    Source: Cho, Youwang, Oh, "Cross-Attention of Disentangled Modalities for 3D Human Mesh Recovery
    with Transformers", ECCV 2022.
    """

    def __init__(self, image_channels: int, vertices: int = 431, fine_vertices: int = 1723) -> None:
        super().__init__()
        first, second = WIDTHS
        self.vertices = vertices
        self.pixels = nn.Conv2d(image_channels, first, 1)
        self.camera_token = nn.Parameter(torch.randn(1, 1, first))
        self.tokens = nn.Parameter(torch.randn(1, NUM_JOINTS + vertices, first))
        self.stages = nn.ModuleList(_Stage(width) for width in WIDTHS)
        self.narrow = nn.ModuleList(nn.Linear(first, second) for _ in range(3))
        self.position = nn.Linear(second, 3)
        self.camera = nn.Linear(second, 3)
        self.upsampling = nn.Linear(vertices, fine_vertices)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vertices of the finer mesh and the camera."""
        batch = len(image)
        pixels = self.pixels(image).flatten(2).transpose(1, 2)
        pixels = pixels + _sine(pixels.size(1), pixels.size(2), pixels.device)
        camera, tokens = (each.expand(batch, -1, -1) for each in (self.camera_token, self.tokens))
        camera, pixels, tokens = self.stages[0](camera, pixels, tokens)
        parts = zip(self.narrow, (camera, pixels, tokens), strict=True)
        camera, pixels, tokens = self.stages[1](*(layer(part) for layer, part in parts))
        vertices = self.position(tokens[:, -self.vertices :])
        fine = self.upsampling(vertices.transpose(1, 2)).transpose(1, 2)
        return fine, self.camera(camera.squeeze(1))


class _Stage(nn.Module):
    """An encoder layer over camera and pixels, and a decoder layer over the tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = width, HEADS, 4 * width, 0.0
        self.encoder = nn.TransformerEncoderLayer(*sizes, batch_first=True)
        self.decoder = nn.TransformerDecoderLayer(*sizes, batch_first=True)

    def forward(self, camera: Tensor, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        seen = self.encoder(torch.cat([camera, pixels], dim=1))
        return seen[:, :1], seen[:, 1:], self.decoder(tokens, seen[:, 1:])


def _sine(number: int, width: int, device: torch.device) -> Tensor:
    """Return positions of pixels as sines and cosines, ``[number, width]``."""
    place = torch.arange(number, device=device).unsqueeze(1)
    rate = 10000 ** (torch.arange(width // 2, device=device) / (width // 2))
    return torch.cat([(place / rate).sin(), (place / rate).cos()], dim=1)
