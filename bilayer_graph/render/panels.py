"""The picture that shows a prediction: input, overlay, two other views, the skeleton drawn in."""

from collections.abc import Callable, Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from bilayer_graph.body import HUMAN, Skeleton
from bilayer_graph.render.clay import shade

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
    project: Callable[[Tensor], Tensor],
    skeleton: Skeleton = HUMAN,
) -> Image.Image:
    """Draw four panels: the input with its keypoints, the mesh over it, from the side, from above.

    Args:
        crop: Picture of the person or thing, ``[3, S, S]``, RGB in [0, 1].
        keypoints: The skeleton's 2D joints in crop coordinates with confidence, ``[J, 3]``.
        vertices: Mesh in camera axes in metres, ``[V, 3]``.
        faces: Triangles, ``[F, 3]``.
        joints: Skeleton in camera axes in metres, ``[J, 3]``.
        project: From points ``[N, 3]`` in camera axes to crop coordinates ``[N, 2]``.
        skeleton: Bones and names of the joints.

    Returns:
        A picture of ``4 S x S`` pixels. Left limbs are blue, right limbs red. The other views show
        the whole mesh, in the scale of the picture where that fits.
    """
    size = crop.size(-1)
    views = [(vertices, project(vertices), project(joints))]
    scale = _extent(views[0][1]) / _extent(vertices[:, :2])
    for turn in (_SIDE, _ABOVE):
        turned = vertices @ turn.t()
        low, high = turned.amin(0)[:2], turned.amax(0)[:2]
        # A close crop, or a body deeper than it is tall, would leave the panel.
        fitting = torch.minimum(scale, 2 * _FILLED / (high - low).max())
        middle = (low + high) / 2
        bones = joints @ turn.t()
        flat = fitting * (turned[:, :2] - middle), fitting * (bones[:, :2] - middle)
        views.append((turned, *flat))
    meshes, points2d, joints2d = (torch.stack(tensors) for tensors in zip(*views, strict=True))
    rgb, mask = shade(meshes, faces, (points2d + 1) * (size / 2), (size, size))
    paper = torch.full_like(crop, _PAPER)
    shaded = mask * rgb + (1 - mask) * torch.stack([crop, paper, paper])
    canvas = Image.new("RGB", (4 * size, size))
    known = keypoints[:, 2] > 0
    panels = [(crop, keypoints[:, :2], known)]
    panels += [(shaded[i], joints2d[i], known | True) for i in range(len(views))]
    for place, (picture, points, drawn) in enumerate(panels):
        panel = to_image(picture)
        _draw_skeleton(panel, skeleton, (points.cpu() + 1) * size / 2, drawn.cpu())
        canvas.paste(panel, (place * size, 0))
    return canvas


def lay_over(
    picture: Tensor,
    meshes: Sequence[Tensor],
    faces: Tensor,
    pixels: Sequence[Tensor],
    samples: int = 2,
) -> Image.Image:
    """Draw meshes over their picture; the nearer one covers the other.

    Args:
        picture: ``[3, H, W]``, RGB in [0, 1].
        meshes: One a person, ``[V, 3]``, metres in camera axes, all around one origin.
        faces: Triangles that all share, ``[F, 3]``.
        pixels: Where their vertices are in the picture, ``[V, 2]`` each.
        samples: Samples a pixel along each axis: 1 is fast, 2 has smooth edges.
    """
    count = meshes[0].size(0)
    joined = torch.cat([faces + i * count for i in range(len(meshes))])
    points = torch.cat(list(pixels))
    top, bottom, left, right = _window(points, picture.size(1), picture.size(2))
    drawn, part = picture.clone(), picture[:, top:bottom, left:right]
    if part.numel():
        points = points - points.new_tensor([left, top])
        size = bottom - top, right - left
        vertices = torch.cat(list(meshes))[None]
        rgb, mask = shade(vertices, joined, points[None], size, samples=samples)
        drawn[:, top:bottom, left:right] = torch.lerp(part, rgb[0], mask[0])
    return to_image(drawn)


def to_image(picture: Tensor) -> Image.Image:
    """Return a picture ``[3, H, W]`` of RGB in [0, 1] as 8 bits."""
    pixels = (picture * 255).round().clamp(0, 255).byte().permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().numpy())


def _extent(points: Tensor) -> Tensor:
    return (points.amax(0) - points.amin(0)).amax()


def _window(points: Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the rows and columns of the picture that points ``[N, 2]`` lie in.

    All else stays as it is.
    """
    size = torch.tensor([width, height], device=points.device)
    finite = torch.nan_to_num(points, 0.0)
    low = torch.minimum(finite.amin(0).floor().clamp_min(0), size).long()
    high = torch.minimum(finite.amax(0).ceil().clamp_min(0), size).long()
    return int(low[1]), int(high[1]), int(low[0]), int(high[0])


def _draw_skeleton(panel: Image.Image, skeleton: Skeleton, points: Tensor, drawn: Tensor) -> None:
    draw = ImageDraw.Draw(panel)
    width = max(2, panel.width // 100)
    for start, end in skeleton.bones:
        if drawn[start] and drawn[end]:
            colour = limb_colour(skeleton, (start, end))
            draw.line([*points[start].tolist(), *points[end].tolist()], colour, width)
    for joint in drawn.nonzero().flatten().tolist():
        x, y = points[joint].tolist()
        colour = _colour(skeleton.names[joint])
        draw.ellipse([x - width, y - width, x + width, y + width], colour)


def limb_colour(skeleton: Skeleton, bone: tuple[int, int]) -> tuple[int, int, int]:
    """Return the colour of a bone: blue on the left, red on the right, yellow between."""
    start, end = (_colour(skeleton.names[joint]) for joint in bone)
    return start if start == end else _MIDDLE


def _colour(name: str) -> tuple[int, int, int]:
    if name.startswith("left_"):
        return _LEFT
    return _RIGHT if name.startswith("right_") else _MIDDLE
