"""Pictures as PIL images and as tensors, whatever they are given as."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.pictures.images import read_image, upright_rgb

Picture = str | Path | Image.Image | np.ndarray | Tensor
"""A path, a PIL image, an array ``[H, W, 3]`` or a tensor ``[3, H, W]``; 8 bits, or in [0, 1]."""

_REMEDY = "Give a path, a PIL image, an array [H, W, 3] or a tensor [3, H, W]"


def as_image(picture: Picture) -> Image.Image:
    """Return a picture as a PIL image, mode RGB.

    Args:
        picture: A path, a PIL image of any mode (turned by its EXIF orientation, as a file is), an
            array ``[H, W, 3]`` or a tensor ``[3, H, W]``, RGB, either of 8 bits or of floats in
            [0, 1].

    Raises:
        InputError: If it is none of these.
    """
    if isinstance(picture, (str, Path)):
        return read_image(picture)
    if isinstance(picture, Image.Image):
        return _converted(picture)
    if isinstance(picture, Tensor):
        if picture.dim() != 3 or picture.size(0) != 3:
            raise InputError("image", list(picture.shape), "not a tensor [3, H, W]", _REMEDY)
        picture = _to_array(picture)
    if not isinstance(picture, np.ndarray):
        raise InputError("image", type(picture).__name__, "not a picture", _REMEDY)
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise InputError("image", list(picture.shape), "not an array [H, W, 3]", _REMEDY)
    return Image.fromarray(_to_bytes(picture))


def to_tensor(image: Image.Image) -> Tensor:
    """Return an RGB image as a tensor ``[3, H, W]``, float32 in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _converted(image: Image.Image) -> Image.Image:
    if 0 in image.size:
        raise InputError("image", f"{image.width} x {image.height}", "has no pixels", _REMEDY)
    try:
        return upright_rgb(image)
    except Exception as error:  # pixels are often decoded only now
        problem = f"not a readable picture ({str(error)[:200]})"
        raise InputError("image", f"PIL image, mode {image.mode}", problem, _REMEDY) from error


def _to_array(picture: Tensor) -> np.ndarray:
    try:
        moved = picture.detach().cpu().resolve_neg().permute(1, 2, 0)
        # NumPy has no bfloat16.
        return (moved.float() if moved.is_floating_point() else moved).numpy()
    except (TypeError, RuntimeError) as error:  # sparse, quantised, without data
        raise InputError("image", type(picture).__name__, str(error)[:80], _REMEDY) from error


def _to_bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        remedy = "Give 8-bit numbers, or floats in [0, 1]"
        raise InputError("image", array.dtype, "neither 8 bits nor floats", remedy)
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        remedy = "Divide 8-bit values by 255; mend NaN and infinity"
        raise InputError("image", f"[{low:g}, {high:g}]", "floats outside of [0, 1]", remedy)
    return (array.clip(0, 1) * 255).round().astype(np.uint8)
