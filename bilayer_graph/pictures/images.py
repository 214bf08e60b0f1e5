"""Pictures from files."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from bilayer_graph.errors import InputError

IMAGE_SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".heic",
    ".jfif",
    ".jpeg",
    ".jpg",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)
# Width times height: what the largest telephones take fits, and 0.4 GB of memory.
MAX_PIXELS = 2**27

_REMEDY = "Give a picture file such as JPEG or PNG, or a folder of them"
# Programs that draw: to read them is to run them.
_NOT_PICTURES = ("EPS", "WMF")
# How to turn a stored picture upright, by the EXIF orientation; all else stays as it is.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | Path) -> Image.Image:
    """Read a picture as 8-bit RGB, upright as its EXIF orientation says.

    Transparent pictures are laid on white, 16-bit grey is scaled to 8 bits, of an animation the
    first frame is taken. The content decides on the format, not the suffix. An EXIF orientation
    that cannot be read, or is none of 1 to 8, turns nothing.

    Args:
        path: The file.

    Returns:
        The picture, mode RGB.

    Raises:
        InputError: If there is no such file, or it is a folder, has more than ``MAX_PIXELS`` or
            cannot be decoded: not a picture, or truncated.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise InputError("image", path, "a folder, not a picture", _REMEDY)
    if not os.path.isfile(path):  # unlike Path.is_file, False of a name that cannot exist
        raise InputError("image", path, "no such file", _REMEDY)
    try:
        # Odd metadata and sizes are judged here, Pillow's warnings of them would only say it twice.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                _check_kind(path, image)
                image.load()
                return upright_rgb(image)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, f"far more than {MAX_PIXELS / 1e6:.0f} million pixels") from error
    except Exception as error:  # the decoders of Pillow raise errors of every kind
        problem = f"not a readable picture ({str(error)[:200]})"
        raise InputError("image", path, problem, "Give an intact JPEG or PNG file") from error


def list_images(folder: str | Path) -> list[Path]:
    """List the picture files in a folder by their suffix, sorted by name, without hidden files.

    Args:
        folder: The folder; folders within it are not searched.

    Returns:
        At least one path.

    Raises:
        InputError: If there is no such folder, it cannot be read, or no picture is in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("image", folder, "no such folder", _REMEDY)
    try:
        paths = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and path.name[0] != "."
        )
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise InputError("image", folder, problem, _REMEDY) from error
    if not paths:
        raise InputError("image", folder, "no picture in this folder", _REMEDY)
    return paths


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit RGB, upright as its EXIF orientation says.

    Raises:
        ValueError: If its pixels are floating-point numbers, of unknown range.
    """
    return _to_rgb(_upright(image))


def _check_kind(path: Path, image: Image.Image) -> None:
    if image.format in _NOT_PICTURES:
        raise ValueError(f"{image.format} is a drawing")
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path, f"{image.width} x {image.height} pixels")


def _too_large(path: Path, found: str) -> InputError:
    remedy = f"Give it scaled down to at most {MAX_PIXELS / 1e6:.0f} million pixels"
    return InputError("image", path, f"too large a picture, {found}", remedy)


def _upright(image: Image.Image) -> Image.Image:
    """Turn by the EXIF orientation; one broken tag neither refuses nor turns a sound picture."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        method = _UPRIGHT.get(orientation)
    except Exception:  # the parsers of tags raise errors of every kind
        method = None
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit RGB, transparent parts on white."""
    if image.mode == "F":
        raise ValueError("a picture of floating-point numbers")
    if image.mode.startswith("I"):
        grey = np.asarray(image).clip(0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image.convert("RGB")
