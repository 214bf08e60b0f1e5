"""What a camera adds to a picture: blur, exposure, colour cast, noise, 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from bilayer_graph.synthetic.draws import Draws

# Noise is cut from one fixed tile at a random place: a fresh draw a pixel would cost more than
# the rendering.
_TILE = 768


class Sensor:
    """The noise tile and the effects that use it.

    Args:
        device: Where the pictures live.
    """

    def __init__(self, device: torch.device) -> None:
        fixed = Draws(0, torch.zeros(1, dtype=torch.long, device=device))
        self.tile = fixed.normal("sensor noise", _TILE, _TILE)[0]

    def __call__(self, draws: Draws, pictures: Tensor) -> Tensor:
        """Add the noise to pictures ``[B, 3, H, W]`` in [0, 1] to 768 x 768, in steps of 1/255."""
        pictures = _blur(draws, pictures)
        cast = draws.uniform("colour cast", 3, 1, 1, low=0.93, high=1.07)
        gain = draws.uniform("exposure", 1, 1, 1, low=0.8, high=1.2)
        offset = draws.uniform("black level", 1, 1, 1, low=-0.04, high=0.04)
        strength = draws.uniform("noise", 1, 1, 1) ** 2 * 0.035
        noise = self._noise(draws, *pictures.shape[-2:])
        pictures = torch.addcmul(offset, pictures, cast * gain)
        pictures = torch.addcmul(pictures, noise, strength)
        return pictures.clamp_(0, 1).mul_(255).round_().div_(255)

    def _noise(self, draws: Draws, height: int, width: int) -> Tensor:
        """Cut ``[B, 3, height, width]``, each channel from another place of the tile."""
        windows = self.tile.unfold(0, height, 1).unfold(1, width, 1)
        row = draws.integer("noise row", windows.shape[0], 3)
        column = draws.integer("noise column", windows.shape[1], 3)
        return windows[row, column]


def _blur(draws: Draws, pictures: Tensor) -> Tensor:
    """Blur by three taps of a random width along x and along y: lenses, motion and resizing."""
    weights = draws.uniform("blur", 2, 1, 1, 1, low=0.05, high=0.33)
    for dim, weight in zip((-1, -2), weights.unbind(1), strict=True):
        inner = pictures.shape[dim] - 2
        before, centre, after = (pictures.narrow(dim, start, inner) for start in range(3))
        blurred = torch.lerp(centre, (before + after).mul_(0.5), 2 * weight)
        ends = pictures.narrow(dim, 0, 1), pictures.narrow(dim, inner + 1, 1)
        pictures = torch.cat([ends[0], blurred, ends[1]], dim)
    return pictures
