"""The picture that shows a prediction: input, overlay, two other views, the skeleton drawn in."""

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from bilayer_graph.body import HUMAN, Skeleton, project
from bilayer_graph.data.render import shade

_LEFT, _MIDDLE, _RIGHT = (66, 135, 245), (240, 200, 60), (235, 87, 87)
_SIDE = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
_ABOVE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_PAPER = 0.96
_FILLED = 0.95


def overlay(
    crop: Tensor,
    keypoints: Tensor,
    vertices: Tensor,
    faces: Tensor,
    joints: Tensor,
    camera: Tensor,
    skeleton: Skeleton = HUMAN,
) -> Image.Image:
    """Draw four panels: the input with its keypoints, the mesh over it, from the side, from above.

    Args:
        crop: Picture of the person or thing, ``[3, S, S]``, RGB in [0, 1].
        keypoints: 2D joints in crop coordinates with confidence, ``[J, 3]``.
        vertices: Mesh in camera axes in metres, ``[V, 3]``.
        faces: Triangles, ``[F, 3]``.
        joints: Skeleton in camera axes in metres, ``[J, 3]``.
        camera: Weak perspective ``(s, tx, ty)``, ``[3]``.
        skeleton: Bones and names of the joints.

    Returns:
        A picture of ``4 S x S`` pixels. Left limbs are blue, right limbs red. The other views show
        the whole mesh, in the scale of the picture where that fits.
    """
    size = crop.size(-1)
    views = [(vertices, joints, camera)]
    for turn in (_SIDE, _ABOVE):
        turned = vertices @ turn.t()
        low, high = turned.amin(0)[:2], turned.amax(0)[:2]
        # A close crop, or a body deeper than it is tall, would leave the panel.
        scale = torch.minimum(camera[:1], 2 * _FILLED / (high - low).max())
        views.append((turned, joints @ turn.t(), torch.cat([scale, -(low + high) / 2])))
    rgb, mask = shade(
        torch.stack([view[0] for view in views]),
        faces,
        torch.stack([view[2] for view in views]),
        size,
    )
    paper = torch.full_like(crop, _PAPER)
    grounds = torch.stack([crop, paper, paper])
    shaded = mask * rgb + (1 - mask) * grounds
    canvas = Image.new("RGB", (4 * size, size))
    known = keypoints[:, 2] > 0
    panels = [(crop, keypoints[:, :2], known)]
    for picture, (_, points3d, view_camera) in zip(shaded, views, strict=True):
        panels.append((picture, project(points3d[None], view_camera[None])[0], known | True))
    for place, (picture, points, drawn) in enumerate(panels):
        pixels = (picture * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        panel = Image.fromarray(pixels)
        _draw_skeleton(panel, skeleton, (points.cpu() + 1) * size / 2, drawn.cpu())
        canvas.paste(panel, (place * size, 0))
    return canvas


def _draw_skeleton(panel: Image.Image, skeleton: Skeleton, points: Tensor, drawn: Tensor) -> None:
    draw = ImageDraw.Draw(panel)
    width = max(2, panel.width // 100)
    colours = [_colour(name) for name in skeleton.names]
    for start, end in skeleton.bones:
        if drawn[start] and drawn[end]:
            colour = colours[start] if colours[start] == colours[end] else _MIDDLE
            draw.line([*points[start].tolist(), *points[end].tolist()], colour, width)
    for joint in drawn.nonzero().flatten().tolist():
        x, y = points[joint].tolist()
        draw.ellipse([x - width, y - width, x + width, y + width], colours[joint])


def _colour(name: str) -> tuple[int, int, int]:
    if name.startswith("left_"):
        return _LEFT
    return _RIGHT if name.startswith("right_") else _MIDDLE
