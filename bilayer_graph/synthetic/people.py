"""Dressed people in front of a background: from posed meshes to colours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.body.body_model import BodyModel
from bilayer_graph.render.clay import interpolate
from bilayer_graph.render.normals import Normals
from bilayer_graph.render.rasterizer import Hits
from bilayer_graph.synthetic.clothes import Landmarks, Outfit
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.light import Light
from bilayer_graph.synthetic.volume import sample_volume


class Painter:
    """Colours of the visible surface of posed bodies.

    Args:
        body: The body that is dressed; its template is measured once.
    """

    def __init__(self, body: BodyModel) -> None:
        self._faces = body.faces
        self._vertices = body.v_template
        self._template = body.v_template[body.faces].flatten(1)
        self._landmarks = Landmarks(body)
        self._normals = Normals(body.faces, len(body.v_template))

    def dress(self, draws: Draws, vertices: Tensor) -> Tensor:
        """Move the skin ``[B, V, 3]`` of posed bodies out to their clothes, hair and shoes."""
        volume = sample_volume(draws, Outfit(draws, self._landmarks), self._vertices)
        normal = F.normalize(self._normals(vertices), dim=-1)
        return vertices + volume.unsqueeze(-1) * normal

    def __call__(self, draws: Draws, vertices: Tensor, hits: Hits) -> Tensor:
        """Return the lit colours of dressed bodies.

        Args:
            draws: Random numbers of B samples.
            vertices: ``[B, V, 3]`` posed, dressed bodies in camera axes.
            hits: The P pixels that they cover.

        Returns:
            RGB ``[P, 3]`` in [0, 1].
        """
        # Clothes follow template coordinates pixel by pixel: borders stay smooth on large faces.
        points = self._template.index_select(0, hits.face).view(-1, 3, 3)
        points = (points * hits.barycentric.unsqueeze(-1)).sum(1)
        colour, cloth = Outfit(draws, self._landmarks).colours(points, hits.picture)
        normal = interpolate(self._normals(vertices), self._faces, hits)
        light = Light(draws)(F.normalize(normal, dim=-1), hits.picture)
        folds = _folds(draws, points, hits.picture) * cloth
        return (colour * light * (1 + folds).unsqueeze(-1)).clamp(0, 1)


def _folds(draws: Draws, points: Tensor, sample: Tensor) -> Tensor:
    """Return the brightness ``[P]`` of the folds of cloth: two crossed waves on the T-pose."""
    wave = (draws.normal("folds", 2, 3) * 30).index_select(0, sample)
    u, v = (points.unsqueeze(1) * wave).sum(-1).unbind(-1)
    strength = draws.uniform("fold strength", high=0.25).take(sample)
    return strength * (u.sin() + (v + 2 * u.cos()).sin()) / 2


def paint_pixels(pictures: Tensor, hits: Hits, colours: Tensor) -> None:
    """Write the colours ``[P, 3]`` of covered pixels into pictures ``[B, 3, H, W]``, in place."""
    plane = pictures.shape[-2] * pictures.shape[-1]
    # From the place of a pixel in [B, H, W] to its place in the first channel of [B, 3, H, W].
    target = hits.pixel + hits.picture * (2 * plane)
    for channel, values in enumerate(colours.unbind(-1)):
        pictures.view(-1)[target + channel * plane] = values


def see_joints(hits: Hits, covered: Tensor, pixels: Tensor, depth: Tensor, flesh: Tensor) -> Tensor:
    """Tell which joints a viewer sees.

    A joint counts as seen inside the picture, where no occluder covers its pixel, and where the
    surface in the depth buffer is not further before the joint than the flesh around it.

    Args:
        hits: The depth of the P covered pixels.
        covered: ``[B, H, W]`` what occluders cover.
        pixels: ``[B, J, 2]`` places of the joints in pixels.
        depth: ``[B, J]`` depth of the joints, metres.
        flesh: ``[J]`` metres.

    Returns:
        ``[B, J]`` bool
    """
    size = torch.tensor(covered.shape[:0:-1], device=covered.device)
    surface = torch.full(covered.shape, torch.inf, device=covered.device)
    surface.view(-1)[hits.pixel] = hits.depth
    place = pixels.floor().long()
    inside = ((place >= 0) & (place < size)).all(-1)
    column, row = place.clamp_min(0).minimum(size - 1).unbind(-1)
    picture = torch.arange(len(covered), device=covered.device).unsqueeze(1)
    at = (picture, row, column)
    return inside & ~covered[at] & (surface[at] > depth - flesh)
