"""The coat of an animal, or the paint of a thing: colours of any body."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.body import BodyModel
from bilayer_graph.render.clay import interpolate
from bilayer_graph.render.normals import Normals
from bilayer_graph.render.rasterizer import Hits
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.light import Light
from bilayer_graph.synthetic.patterns import paint, sample_fabric

_SOCKS = (0.05, 0.35)
"""Where socks end, as shares of the height of the body."""


class Coat:
    """A pattern over the whole body, and socks of another.

    Args:
        body: A body that stands on y = 0 when at rest.
    """

    def __init__(self, body: BodyModel) -> None:
        self._rest, self._faces = body.v_template, body.faces
        self._height = float(body.v_template[:, 1].max())
        self._normals = Normals(body.faces, len(body.v_template))

    def dress(self, draws: Draws, vertices: Tensor) -> Tensor:
        """Return the skin as it is: hair is short."""
        return vertices

    def __call__(self, draws: Draws, vertices: Tensor, hits: Hits) -> Tensor:
        """Return lit colours ``[P, 3]`` of the covered pixels, RGB in [0, 1]."""
        _, up, along = interpolate(self._rest.expand_as(vertices), self._faces, hits).unbind(-1)
        coat, socks = (
            paint(sample_fabric(draws, name), hits.picture, along, up) for name in ("coat", "socks")
        )
        border = draws.uniform("border", low=_SOCKS[0], high=_SOCKS[1]).take(hits.picture)
        colour = torch.where((up < border * self._height).unsqueeze(-1), socks, coat)
        normal = interpolate(self._normals(vertices), self._faces, hits)
        return (colour * Light(draws)(F.normalize(normal, dim=-1), hits.picture)).clamp(0, 1)
