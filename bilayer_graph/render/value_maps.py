"""Values drawn on a mesh: blue below 0, grey at 0, red above."""

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bilayer_graph.body import UPRIGHT, project
from bilayer_graph.render.clay import shade
from bilayer_graph.render.panels import to_image
from bilayer_graph.render.sheets import INK, LINE, PAPER

_COLOURS = torch.tensor([[0.13, 0.40, 0.80], [0.93, 0.92, 0.90], [0.85, 0.12, 0.14]])
_FILLED = 0.95
_CROSS = 4


def signed_colours(values: Tensor) -> Tensor:
    """Return the colours ``[.., 3]``, RGB in [0, 1], of values; beyond -1 and 1 all look alike."""
    share = values.clamp(-1, 1).unsqueeze(-1)
    below, zero, above = _COLOURS.to(values.device)
    return torch.lerp(zero, torch.where(share < 0, below, above), share.abs())


@torch.no_grad()
def draw_values(
    vertices: Tensor, faces: Tensor, values: Tensor, size: int, marks: Tensor | None = None
) -> list[Image.Image]:
    """Draw values on a mesh that is seen from the front, a picture each.

    Args:
        vertices: ``[V, 3]``, x left, y up, z front, as a body at rest has them.
        faces: Triangles, ``[F, 3]``.
        values: ``[N, V]``, in the colours of :func:`signed_colours`.
        size: Side of the pictures in pixels.
        marks: A point in each picture that gets a cross, ``[N, 3]``, in the mesh's axes.
    """
    turned, count = vertices @ UPRIGHT, len(values)
    low, high = turned[:, :2].amin(0), turned[:, :2].amax(0)
    camera = torch.cat([2 * _FILLED / (high - low).max().view(1), -(low + high) / 2])

    def place(points: Tensor) -> Tensor:
        return (project(points[None], camera[None])[0] + 1) * (size / 2)

    seen = (place(turned), turned)
    flat, solid = (points.expand(count, -1, -1) for points in seen)
    rgb, mask = shade(solid, faces, flat, (size, size), signed_colours(values))
    paper = rgb.new_tensor(PAPER).view(3, 1, 1) / 255
    pictures = [to_image(picture) for picture in mask * rgb + (1 - mask) * paper]
    if marks is not None:
        for picture, (x, y) in zip(pictures, place(marks @ UPRIGHT).tolist(), strict=True):
            pen = ImageDraw.Draw(picture)
            for step in (-_CROSS, _CROSS):
                pen.line([x - _CROSS, y - step, x + _CROSS, y + step], INK)
    return pictures


def colour_bar(title: str, top: float, width: int) -> Image.Image:
    """Draw what the colours stand for: ``-top``, 0 and ``top`` of something."""
    bar = Image.new("RGB", (2 * width, 2 * LINE), PAPER)
    strip = signed_colours(torch.linspace(-1, 1, width)).t().unsqueeze(1)
    bar.paste(to_image(strip.expand(-1, LINE // 2, -1)), (width // 2, 0))
    pen, font = ImageDraw.Draw(bar), ImageFont.load_default(12)
    for share, text in ((0, f"{-top:.2g}"), (0.5, f"{title} = 0"), (1, f"{top:.2g}")):
        pen.text(((0.5 + share) * width, LINE // 2 + 2), text, INK, font, "ma")
    return bar
