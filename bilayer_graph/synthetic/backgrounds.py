"""Procedural backgrounds: gradients, noise at several scales, walls, floors, things and blobs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.ground import Ground, paint_ground
from bilayer_graph.synthetic.patterns import hue_to_rgb

_THINGS = 6
_BLOBS = 4


def sample_backgrounds(
    draws: Draws, height: int, width: int | None = None, ground: Ground | None = None
) -> Tensor:
    """Draw one background a sample.

    They are computed at half the size and enlarged, as out of focus as a background mostly is.

    Args:
        draws: Random numbers of B samples.
        height: Rows of the pictures.
        width: Columns of the pictures; as many as rows when ``None``.
        ground: The floor at half the size, rounded up; a made-up one, or none, when ``None``.

    Returns:
        ``[B, 3, height, width]`` in [0, 1].
    """
    width = height if width is None else width
    half = (height + 1) // 2, (width + 1) // 2
    x, y = _grid(*half, draws.device)
    picture = _wall(draws, x, y) + _noise(draws, *half)
    if ground is None:
        picture = _floor(draws, picture, x, y)
    else:
        floor = paint_ground(draws, ground, _colour(draws, "floor"))
        picture = torch.where(ground.there.unsqueeze(1), picture.lerp(floor, 0.85), picture)
    for number in range(_THINGS):
        picture = _thing(draws, picture, x, y, f"thing {number}")
    for number in range(_BLOBS):
        picture = _blob(draws, picture, x, y, f"blob {number}")
    return F.interpolate(picture, (height, width), mode="bilinear").clamp(0, 1)


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return columns ``[1, 1, W]`` and rows ``[1, H, 1]``: the longer side is [-1, 1]."""
    unit = 2 / max(height, width)
    x, y = ((torch.arange(n, device=device) + 0.5 - n / 2) * unit for n in (width, height))
    return x.view(1, 1, -1), y.view(1, -1, 1)


def _number(draws: Draws, name: str, low: float = 0.0, high: float = 1.0) -> Tensor:
    return draws.uniform(name, 1, 1, low=low, high=high)


def _colour(draws: Draws, name: str) -> Tensor:
    """Draw colours of rooms and streets ``[B, 3, 1, 1]``: greyer than clothes."""
    hue, saturation, value = draws.uniform(name, 3).unbind(-1)
    return hue_to_rgb(hue, 0.55 * saturation**2, 0.1 + 0.85 * value)[..., None, None]


def _wall(draws: Draws, x: Tensor, y: Tensor) -> Tensor:
    """Paint a gradient between two colours, with stripes in one picture of four."""
    angle = _number(draws, "wall angle", high=2 * math.pi)
    along = x * angle.cos() + y * angle.sin()
    first, second = _colour(draws, "wall"), _colour(draws, "wall 2")
    share = (0.5 + 0.4 * along).unsqueeze(1) * draws.uniform("contrast", 1, 1, 1)
    stripe = _number(draws, "stripes", low=6, high=40)
    wave = (along * stripe).sin().unsqueeze(1) * 0.08
    return torch.lerp(first, second, share) + wave * draws.chance("striped", 0.15, 1, 1, 1)


def _noise(draws: Draws, height: int, width: int) -> Tensor:
    """Draw smooth random fields from coarse to fine, each with a strength of its own."""
    total: Tensor | float = 0.0
    for cells in (4, 9, 20, 45):
        field = draws.uniform(f"noise {cells}", 3, cells, cells, low=-1.0)
        # Partly grey: real textures vary in brightness more than in colour.
        field = torch.lerp(field, field.mean(1, keepdim=True) * 1.7, 0.85)
        strength = draws.uniform(f"noise {cells} strength", 1, 1, 1, high=0.5) ** 3
        total = total + F.interpolate(field * strength, (height, width), mode="bilinear")
    return torch.as_tensor(total)


def _floor(draws: Draws, picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Paint a floor below a slightly tilted edge, often boards or tiles, in 2 pictures of 3."""
    edge = _number(draws, "horizon", low=-0.2, high=0.9) + x * _number(
        draws, "floor tilt", low=-0.15, high=0.15
    )
    below = (y - edge).clamp_min(0)
    depth = 1 / (below + 0.15)
    tiles = (x * depth * _number(draws, "boards", low=2, high=12)).sin() * 0.6 + (
        depth * _number(draws, "tiles", low=0, high=12)
    ).sin() * 0.4
    texture = tiles * _number(draws, "floor contrast", high=0.2)
    floor = _colour(draws, "floor") + texture.unsqueeze(1)
    floor = torch.lerp(picture, floor, 0.85)
    there = (y > edge) & draws.chance("floor", 0.65, 1, 1)
    return torch.where(there.unsqueeze(1), floor, picture)


def _thing(draws: Draws, picture: Tensor, x: Tensor, y: Tensor, name: str) -> Tensor:
    """Paint a turned rectangle or ellipse, shaded from side to side; absent in 4 of 10."""
    u, v = _frame(draws, x, y, name)
    power = torch.where(draws.chance(f"{name} round", 0.3, 1, 1), 1.0, 4.0)
    inside = (u * u) ** power + (v * v) ** power < 1
    inside = inside & draws.chance(f"{name} there", 0.6, 1, 1)
    stripes = (u * _number(draws, f"{name} stripes", low=2, high=25)).sin()
    shade = 0.1 * v + 0.08 * stripes * draws.chance(f"{name} striped", 0.3, 1, 1)
    return torch.where(inside.unsqueeze(1), _colour(draws, name) + shade.unsqueeze(1), picture)


def _blob(draws: Draws, picture: Tensor, x: Tensor, y: Tensor, name: str) -> Tensor:
    """Paint a blurred spot of light or colour."""
    u, v = _frame(draws, x, y, name)
    weight = torch.exp(-2 * (u * u + v * v)) * _number(draws, f"{name} weight", high=0.8)
    weight = weight * draws.chance(f"{name} there", 0.4, 1, 1)
    return torch.lerp(picture, _colour(draws, name), weight.unsqueeze(1))


def _frame(draws: Draws, x: Tensor, y: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return the coordinates of a random place, direction and size."""
    x = x - _number(draws, f"{name} x", low=-1.1, high=1.1)
    y = y - _number(draws, f"{name} y", low=-1.1, high=1.1)
    # Most things stand upright.
    angle = _number(draws, f"{name} angle", low=-1.0) ** 7 * math.pi / 2
    width = 0.06 + 0.6 * _number(draws, f"{name} width") ** 2
    height = 0.06 + 0.8 * _number(draws, f"{name} height") ** 2
    u = (x * angle.cos() + y * angle.sin()) / width
    return u, (y * angle.cos() - x * angle.sin()) / height
