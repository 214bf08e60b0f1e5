"""Pictures from files."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from bilayer_graph.errors import InputError, one_line

# Width times height: 0.4 GB of memory. Photos of 108 million pixels fit, those of 200 do not.
MAX_PIXELS = 2**27

REMEDY = "Give a picture file such as JPEG or PNG, or a folder of them"
"""What to give instead of a path with no picture."""

_CONVERT = "Give an intact JPEG or PNG file; convert HEIC, camera raw and all else to one"
# Programs that draw: to read them is to run them.
_NOT_PICTURES = ("EPS", "WMF")
# Formats whose further frames are pictures of their own, not layers or depths of the first.
_OF_FRAMES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
# A TIFF tag: whether its first picture is a smaller copy of another, as in files of camera raw.
_SUBFILE = 254
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
    first frame is taken, with a warning. The content decides on the format, not the suffix. An
    EXIF orientation that cannot be read, or is none of 1 to 8, turns nothing.

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
        raise InputError("image", path, "a folder, not a picture", REMEDY)
    if not os.path.isfile(path):  # unlike Path.is_file, False of a name that cannot exist
        raise InputError("image", path, "no such file", REMEDY)
    try:
        # Odd metadata and sizes are judged here, Pillow's warnings of them would only say it twice.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                _check_kind(path, image)
                image.load()
                upright, more = upright_rgb(image), _has_more(image)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        why = "no format that is read here" if path.stat().st_size else "an empty file"
        problem = f"not a readable picture ({why})"
        raise InputError("image", path, problem, _CONVERT) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, f"far more than {MAX_PIXELS / 1e6:.0f} million pixels") from error
    except Exception as error:  # the decoders of Pillow raise errors of every kind
        problem = f"not a readable picture ({str(error)[:200]})"
        raise InputError("image", path, problem, _CONVERT) from error
    if more:
        warnings.warn(
            one_line(f"{path}: several pictures in one; the first is taken"), stacklevel=2
        )
    return upright


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit RGB, upright as its EXIF orientation says.

    Raises:
        ValueError: If its pixels are floating-point numbers, of unknown range.
    """
    return _to_rgb(_upright(image))


def _has_more(image: Image.Image) -> bool:
    """Return whether a file holds further pictures; broken ones do not spoil the first."""
    try:
        return image.format in _OF_FRAMES and bool(getattr(image, "is_animated", False))
    except Exception:  # the decoders of Pillow raise errors of every kind
        return False


def _check_kind(path: Path, image: Image.Image) -> None:
    if image.format in _NOT_PICTURES:
        raise ValueError(f"{image.format} is a drawing")
    if image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_SUBFILE) == 1:
        raise ValueError("the thumbnail of a camera's raw file")
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
