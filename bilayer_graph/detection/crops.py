"""The inputs of the networks: whole pictures and squares around people, and the way back."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# The network halves its input five times.
_MULTIPLE = 32


class Crop(NamedTuple):
    """A part of a picture at a network's scale.

    Attributes:
        pixels: ``[3, h, w]``.
        origin: x, y of the upper left corner in the picture.
        scale: Pixels of the crop a pixel of the picture, along x and y.
    """

    pixels: Tensor
    origin: tuple[float, float]
    scale: tuple[float, float]

    def to_picture(self, points: Tensor) -> Tensor:
        """Move points ``[..., 2]`` or keypoints ``[..., 3]`` of the crop to the picture."""
        scale, origin = points.new_tensor(self.scale), points.new_tensor(self.origin)
        return torch.cat([points[..., :2] / scale + origin, points[..., 2:]], dim=-1)


def input_size(image: Tensor, side: int) -> tuple[int, int]:
    """Return height and width of what :func:`fit` makes of a picture."""
    rows, columns = _fitted(image, side)
    return rows + -rows % _MULTIPLE, columns + -columns % _MULTIPLE


def fit(image: Tensor, side: int) -> Crop:
    """Return the whole picture with its longer side at ``side`` pixels.

    Black fills it on the right and at the bottom up to multiples of 32 pixels.

    Args:
        image: ``[3, H, W]``.
        side: Length of the longer side, a multiple of 32.

    Returns:
        The crop, its sides between 32 and ``side``.
    """
    height, width = image.shape[-2:]
    rows, columns = _fitted(image, side)
    small = _resize(image, rows, columns)
    padded = F.pad(small, (0, -columns % _MULTIPLE, 0, -rows % _MULTIPLE))
    return Crop(padded, (0.0, 0.0), (columns / width, rows / height))


def crop_square(image: Tensor, box: Tensor, size: int) -> Crop:
    """Crop the square around the middle of a box, as long as its longer side, black outside.

    The square goes out to whole pixels, so nothing is resampled but by the change of size.

    Args:
        image: ``[3, H, W]``.
        box: ``[4]`` x0, y0, x1, y1 in pixels.
        size: Side of the crop in pixels.

    Returns:
        The crop, ``[3, size, size]``.
    """
    x0, y0, x1, y1 = box.tolist()
    side = max(1, math.ceil(max(x1 - x0, y1 - y0)))
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    height, width = image.shape[-2:]
    columns = slice(min(max(left, 0), width), min(max(left + side, 0), width))
    rows = slice(min(max(top, 0), height), min(max(top + side, 0), height))
    inside = image[:, rows, columns]
    square = image.new_zeros(3, side, side)
    if inside.numel():
        x, y = columns.start - left, rows.start - top
        square[:, y : y + inside.shape[1], x : x + inside.shape[2]] = inside
    scale = size / side
    return Crop(_resize(square, size, size), (float(left), float(top)), (scale, scale))


def _fitted(image: Tensor, side: int) -> tuple[int, int]:
    height, width = image.shape[-2:]
    shrink = side / max(height, width)
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _resize(image: Tensor, rows: int, columns: int) -> Tensor:
    return F.interpolate(
        image[None], (rows, columns), mode="bilinear", align_corners=False, antialias=True
    )[0]
