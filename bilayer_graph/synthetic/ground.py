"""The floor that people stand on, in true perspective, and the shadow that they cast on it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.synthetic.draws import Draws

# Share of upward light below which a lamp casts no shadow on the floor, but far away.
_STEEPEST = 0.35
# Shadows are drawn at a quarter of the size, soft as they are.
_COARSE = 4


class Ground(NamedTuple):
    """Where the rays of pixels meet the floor, in B pictures.

    Attributes:
        across: Metres to the right of the camera, ``[B, h, w]``.
        away: Metres from the camera, ``[B, h, w]``.
        width: Metres of the floor that a pixel covers, ``[B, h, w]``.
        there: Where the floor is, and not the wall behind it or the sky, ``[B, h, w]``.
        light: Share of the light that reaches it, ``[B, h, w]``.
    """

    across: Tensor
    away: Tensor
    width: Tensor
    there: Tensor
    light: Tensor


class Pinhole(NamedTuple):
    """B cameras that stand over a floor; the principal point is the middle of the picture.

    Attributes:
        focal: Focal length in pixels, ``[B]``.
        size: Height and width in pixels.
        up: The floor's normal in camera axes, ``[B, 3]``.
        level: Height of the floor over the camera, ``[B]``, metres: negative below it.
    """

    focal: Tensor
    size: tuple[int, int]
    up: Tensor
    level: Tensor


def sample_ground(draws: Draws, camera: Pinhole, people: Tensor, lamp: Tensor, step: int) -> Ground:
    """Lay a floor under people; a wall ends it from just behind them to far away.

    Args:
        draws: Random numbers of B samples.
        camera: The cameras.
        people: Their vertices in camera axes, ``[B, V, 3]``, metres from the camera.
        lamp: Direction to the lamp in camera axes, ``[B, 3]``.
        step: The rays of every ``step``-th row and column are returned.
    """
    rays = _rays(camera, step)
    up = camera.up.view(-1, 1, 1, 3)
    slope = (rays * up).sum(-1)
    below = slope < -1e-3
    along = camera.level.view(-1, 1, 1) / torch.where(below, slope, -1e-3)
    right = F.normalize(torch.tensor([1.0, 0.0, 0.0]) - camera.up[:, :1] * camera.up, dim=1)
    ahead = torch.linalg.cross(right, camera.up)
    across, away = (along * (rays * axis.view(-1, 1, 1, 3)).sum(-1) for axis in (right, -ahead))
    behind = (people * -ahead.unsqueeze(1)).sum(-1).amax(1)
    wall = behind + draws.uniform("wall distance", low=0.1, high=2.2).square()
    there = below & (away < wall.view(-1, 1, 1)) & (camera.level < -0.1).view(-1, 1, 1)
    width = along / (camera.focal.view(-1, 1, 1) / step) / -slope.clamp_max(-0.05)
    shadow = _shadow(camera, people, lamp, tuple(rays.shape[1:3]))
    strength = draws.uniform("shadow", 1, 1, low=0.25, high=0.75)
    return Ground(across, away, width, there, 1 - strength * shadow)


def paint_ground(draws: Draws, ground: Ground, colour: Tensor) -> Tensor:
    """Paint boards, tiles or plain floor of a colour ``[B, 3, 1, 1]``, in shadow where it is."""
    texture: Tensor | float = 0.0
    for name, place in (("boards", ground.across), ("tiles", ground.away)):
        period = draws.uniform(name, 1, 1, low=0.08, high=0.9)
        wave = (place * (2 * math.pi / period)).sin()
        # Waves too fine for the pixels fade.
        fade = torch.exp(-((2 * ground.width / period) ** 2))
        texture = texture + wave.clamp(-0.4, 0.4) * fade * draws.uniform(f"{name} contrast", 1, 1)
    contrast = 0.3 * draws.uniform("floor contrast", 1, 1) ** 2
    return (colour + (contrast * texture).unsqueeze(1)) * ground.light.unsqueeze(1)


def _rays(camera: Pinhole, step: int) -> Tensor:
    """Return rays of pixels ``[B, h, w, 3]`` with depth 1."""
    height, width = camera.size
    rows, columns = (
        (torch.arange((n + step - 1) // step) + 0.5) * step - n / 2 for n in (height, width)
    )
    focal = camera.focal.view(-1, 1, 1)
    x, y = columns.view(1, 1, -1) / focal, rows.view(1, -1, 1) / focal
    x, y = torch.broadcast_tensors(x, y)
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def _shadow(camera: Pinhole, people: Tensor, lamp: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return share of the floor ``[B, h, w]`` that people keep from a lamp."""
    lift = (_STEEPEST - (lamp * camera.up).sum(1, keepdim=True)).clamp_min(0)
    lamp = lamp + 1.5 * lift * camera.up
    height = (people * camera.up.unsqueeze(1)).sum(-1) - camera.level.unsqueeze(1)
    fall = height / (lamp * camera.up).sum(1, keepdim=True)
    cast = people - fall.unsqueeze(-1) * lamp.unsqueeze(1)
    rows, columns = ((n + _COARSE - 1) // _COARSE for n in camera.size)
    middle = torch.tensor([camera.size[1] / 2, camera.size[0] / 2])
    depth = cast[..., 2:].clamp_min(0.1)
    pixel = cast[..., :2] / depth * camera.focal.view(-1, 1, 1) + middle
    column, row = (pixel / _COARSE).floor().long().unbind(-1)
    inside = (column >= 0) & (row >= 0) & (column < columns) & (row < rows)
    inside = inside & (cast[..., 2] > 0.1)
    mask = torch.zeros(len(people), rows * columns)
    mask.scatter_reduce_(1, torch.where(inside, row * columns + column, 0), inside.float(), "amax")
    mask = mask.view(-1, 1, rows, columns)
    for _ in range(2):
        mask = F.avg_pool2d(mask, 3, 1, 1)
    return F.interpolate(mask, size, mode="bilinear")[:, 0]
