"""Things that stand before the person: rectangles and ellipses with a texture."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.patterns import Fabric, paint, sample_fabric

_SHARE = 0.3


def add_occluders(
    draws: Draws, pictures: Tensor, points: Tensor, scale: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Cover part of the person in some of the pictures, most often a limb.

    Args:
        draws: Random numbers of B samples.
        pictures: ``[B, 3, H, W]`` in [0, 1].
        points: ``[B, N, 2]`` places on the person; (0, 0) is the middle of the picture, its longer
            side goes from -1 to 1.
        scale: ``[B]`` size of the people over that of one who fills the picture; 1 when ``None``.

    Returns:
        The pictures, and ``[B, H, W]`` what is covered.
    """
    covered = torch.zeros_like(pictures[:, 0], dtype=torch.bool)
    chosen = draws.chance("occluder", _SHARE).nonzero().squeeze(1)
    if len(chosen) == 0:
        return pictures, covered
    fabric = Fabric(*(part[chosen] for part in sample_fabric(draws, "occluder")))
    target = draws.integer("occluded joint", points.shape[1])[chosen]
    unit = torch.ones_like(points[:, 0, :1]) if scale is None else scale.unsqueeze(1)
    unit = unit[chosen]
    centre = points[chosen, target] + 0.08 * unit * draws.normal("occluder place", 2)[chosen]
    size = unit * draws.uniform("occluder size", 2, low=0.08, high=0.4)[chosen]
    angle = draws.uniform("occluder angle", low=-1.0)[chosen] ** 3 * math.pi / 2
    power = 1 + 3 * draws.chance("occluder square", 0.6)[chosen].float()
    longer = max(pictures.shape[-2:])
    rows, columns = (
        (torch.arange(n, device=pictures.device) + 0.5 - n / 2) * (2 / longer)
        for n in pictures.shape[-2:]
    )
    x, y = columns - centre[:, :1], rows - centre[:, 1:]
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    u = x.unsqueeze(1) * cos + y.unsqueeze(2) * sin
    v = y.unsqueeze(2) * cos - x.unsqueeze(1) * sin
    power = power.view(-1, 1, 1)
    inside = ((u / size[:, 0, None, None]) ** 2) ** power + (
        (v / size[:, 1, None, None]) ** 2
    ) ** power < 1
    sample, row, column = inside.nonzero(as_tuple=True)
    # One unit of a person who fills the picture is about a metre of cloth.
    metres = unit[sample, 0]
    along, across = u[sample, row, column] / metres, v[sample, row, column] / metres
    colour = paint(fabric, sample, along, across)
    shade = 1 + 0.25 * (u / size[:, :1, None])[sample, row, column]
    pictures = pictures.clone()
    pictures[chosen[sample], :, row, column] = (colour * shade.unsqueeze(-1)).clamp(0, 1)
    covered[chosen] = inside
    return pictures, covered
