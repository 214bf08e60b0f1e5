"""Pictures from files, and square crops of them."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from bilayer_graph.errors import InputError

IMAGE_SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".heic",
    ".jpeg",
    ".jpg",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)

# Source pixels that the resampling kernel may want beyond the box, at the most a shrink of 4.
_REACH = 4
# A box that many times as long as the picture shows nothing of it.
_MAX_BOX = 100
_REMEDY = "Give a picture file such as JPEG or PNG, or a folder of them"


def read_image(path: str | Path) -> Image.Image:
    """A picture as 8-bit RGB, upright as its EXIF orientation says.

    Transparent pictures are laid on white, 16-bit grey is scaled to 8 bits, of an animation the
    first frame is taken.

    Args:
        path: The file.

    Returns:
        The picture, mode RGB.

    Raises:
        InputError: No such file, a folder, or a file that cannot be decoded: not a picture,
            truncated, more pixels than Pillow accepts.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("image", path, "no such file", _REMEDY)
    if path.is_dir():
        raise InputError("image", path, "a folder, not a picture", _REMEDY)
    try:
        with Image.open(path) as image:
            return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # the decoders of Pillow raise errors of every kind
        problem = f"not a readable picture ({error})"
        raise InputError("image", path, problem, "Give an intact JPEG or PNG file") from error


def list_images(folder: str | Path) -> list[Path]:
    """Picture files in a folder by their suffix, sorted by name, without hidden files.

    Args:
        folder: The folder; folders within it are not searched.

    Returns:
        At least one path.

    Raises:
        InputError: No such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("image", folder, "no such folder", _REMEDY)
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and path.name[0] != "."
    )
    if not paths:
        raise InputError("image", folder, "no picture in this folder", _REMEDY)
    return paths


def crop_image(image: Image.Image, centre: Tensor, side: float | Tensor, size: int = 224) -> Tensor:
    """Square part of a picture, black outside of it, resized without aliasing.

    Picture coordinates are continuous: pixel ``i`` covers ``[i, i + 1)``. Column ``j`` of the crop
    covers ``centre_x - side / 2 + [j, j + 1) side / size``, so a picture point ``p`` lies at the
    crop coordinates of :func:`~bilayer_graph.pictures.keypoints.to_crop`, with -1 and 1 at the
    outer edges of the first and the last pixel.

    Args:
        image: The picture, mode RGB.
        centre: [2] x, y of the box in pixels.
        side: Side of the box in pixels.
        size: Side of the crop in pixels.

    Returns:
        [3, size, size] float32 in [0, 1].

    Raises:
        InputError: The box has no size, or next to nothing of the picture is in it.
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
    outside = abs(x - image.width / 2) >= (image.width + length) / 2
    outside |= abs(y - image.height / 2) >= (image.height + length) / 2
    if outside or length > _MAX_BOX * max(image.size):
        problem = f"shows nothing of the picture of {image.width} x {image.height} pixels"
        raise InputError("keypoints", value, problem, remedy)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("a picture of floating-point numbers")
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64).clip(0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
