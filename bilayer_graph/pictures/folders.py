"""Folders of pictures."""

import warnings
from pathlib import Path

from bilayer_graph.errors import InputError, one_line
from bilayer_graph.pictures.images import REMEDY

IMAGE_SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".heic",
    ".heif",
    ".jfif",
    ".jp2",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".jxl",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)


def list_images(folder: str | Path) -> list[Path]:
    """List the picture files in a folder by their suffix, sorted by name, without hidden files.

    Args:
        folder: The folder; folders within it are not searched, with a warning if they hold some.

    Returns:
        At least one path.

    Raises:
        InputError: If there is no such folder, it cannot be read, or no picture is in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("image", folder, "no such folder", REMEDY)
    try:
        paths = sorted(filter(_is_listed, folder.iterdir()))
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise InputError("image", folder, problem, REMEDY) from error
    if not paths:
        problem = "no picture in this folder; those within it are not searched"
        raise InputError("image", folder, problem, REMEDY)
    within = sorted({path.parent.name for path in folder.glob("[!.]*/*") if _is_listed(path)})
    if within:
        text = f"{folder}: folders within it are not searched: {', '.join(within[:5])}"
        warnings.warn(one_line(text), stacklevel=2)
    return paths


def _is_listed(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and path.name[0] != "."
