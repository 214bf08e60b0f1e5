"""Square crops of pictures."""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.pictures.box import shows_picture

# Source pixels that the resampling kernel may want beyond the box, at the most a shrink of 4.
_REACH = 4


def crop_image(image: Image.Image, centre: Tensor, side: float | Tensor, size: int = 224) -> Tensor:
    """Crop a square part of a picture, black outside of it, resized without aliasing.

    Picture coordinates are continuous: pixel ``i`` covers ``[i, i + 1)``. Column ``j`` of the crop
    covers ``centre_x - side / 2 + [j, j + 1) side / size``, so a picture point ``p`` lies at the
    crop coordinates of :func:`~bilayer_graph.pictures.box.to_crop`, with -1 and 1 at the outer
    edges of the first and the last pixel.

    Args:
        image: The picture, mode RGB.
        centre: [2] x, y of the box in pixels.
        side: Side of the box in pixels.
        size: Side of the crop in pixels.

    Returns:
        ``[3, size, size]`` float32 in [0, 1].

    Raises:
        InputError: If the box has no size, or next to nothing of the picture is in it.
    """
    x, y, length = float(centre[0]), float(centre[1]), float(side)
    _check_box(image, x, y, length)
    # Shrinks coarsely first, so that a box far larger than the picture costs no memory.
    shrink = max(1, int(length / (2 * size)))
    small = image.reduce(shrink) if shrink > 1 else image
    left, top, extent = (x - length / 2) / shrink, (y - length / 2) / shrink, length / shrink
    column, row = math.floor(left) - _REACH, math.floor(top) - _REACH
    reach = math.ceil(extent) + 2 * _REACH + 1
    patch = small.crop((column, row, column + reach, row + reach))
    left, top = left - column, top - row
    box = (left, top, left + extent, top + extent)
    crop = patch.resize((size, size), Image.Resampling.BILINEAR, box)
    return torch.from_numpy(np.array(crop)).permute(2, 0, 1).float() / 255


def _check_box(image: Image.Image, x: float, y: float, length: float) -> None:
    value = f"box of {length:g} pixels at ({x:g}, {y:g})"
    remedy = "Give keypoints in pixels of this picture"
    if not (0 < length < math.inf and math.isfinite(x) and math.isfinite(y)):
        raise InputError("keypoints", value, "not a box with a size", remedy)
    centre, side = torch.tensor([x, y]), torch.tensor(length)
    if not shows_picture(centre, side, image.size):
        problem = f"shows nothing of the picture of {image.width} x {image.height} pixels"
        raise InputError("keypoints", value, problem, remedy)
