"""Meshes shaded like clay, to lay over a photo or to look at from another side."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.render.normals import Normals
from bilayer_graph.render.rasterizer import Hits, rasterize_hits

_CLAY = (0.80, 0.76, 0.72)
# From above, left of the viewer; camera axes.
_LAMP = (-0.4, -0.6, -0.7)
_AMBIENT = 0.35


@torch.no_grad()
def shade(
    vertices: Tensor,
    faces: Tensor,
    points2d: Tensor,
    size: tuple[int, int],
    colours: Tensor | None = None,
    samples: int = 2,
) -> tuple[Tensor, Tensor]:
    """Render meshes like clay, with smooth normals.

    Args:
        vertices: ``[B, V, 3]`` camera axes (x right, y down, z forward), metres.
        faces: ``[F, 3]`` int64, counter-clockwise seen from outside.
        points2d: ``[B, V, 2]`` where the vertices are in the pictures, in pixels.
        size: Height and width of the pictures in pixels.
        colours: ``[B, V, 3]`` RGB in [0, 1] of the vertices; the colour of clay if ``None``.
        samples: Samples a pixel along each axis: 1 is fast, 2 has smooth edges.

    Returns:
        RGB ``[B, 3, H, W]`` in [0, 1], and the covered share of each pixel ``[B, 1, H, W]``:
        ``mask * rgb + (1 - mask) * photo`` lays the mesh over a photo.
    """
    height, width = samples * size[0], samples * size[1]
    hits = rasterize_hits(samples * points2d, vertices[..., 2], faces, height, width)
    normals = Normals(faces, vertices.shape[1])(vertices)
    normal = F.normalize(interpolate(normals, faces, hits), dim=-1)
    lamp = F.normalize(normal.new_tensor(_LAMP), dim=0)
    light = _AMBIENT + (1 - _AMBIENT) * (0.25 + 0.75 * (normal @ lamp)).clamp_min(0)
    clay = normal.new_tensor(_CLAY)
    colour = clay if colours is None else interpolate(colours, faces, hits)
    # Each covered sample is its share of its pixel; the others would be zeros.
    sample = F.pad(light.unsqueeze(-1) * colour, (0, 1), value=1.0) / samples**2
    row, column = hits.pixel // width, hits.pixel % width
    painted = normal.new_zeros(len(vertices) * size[0] * size[1], 4)
    painted.index_add_(0, row // samples * size[1] + column // samples, sample)
    painted = painted.view(-1, *size, 4).permute(0, 3, 1, 2)
    mask = painted[:, 3:]
    return painted[:, :3] / mask.clamp_min(samples**-2), mask


def interpolate(values: Tensor, faces: Tensor, hits: Hits) -> Tensor:
    """Interpolate values at the vertices ``[B, V, C]`` at the covered pixels: ``[P, C]``."""
    corners = faces.index_select(0, hits.face) + (hits.picture * values.shape[1]).unsqueeze(-1)
    at_corners = values.flatten(0, 1).index_select(0, corners.flatten())
    at_corners = at_corners.view(*corners.shape, values.size(2))
    return (at_corners * hits.barycentric.unsqueeze(-1)).sum(1)
