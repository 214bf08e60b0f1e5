"""Pictures as a user gives them: read one by one, each bad one refused alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.pictures import KeypointFile, People, Picture, as_image

Keypoints = (
    str
    | Path
    | KeypointFile
    | Callable[[], KeypointFile]
    | People
    | np.ndarray
    | Tensor
    | Sequence[Any]
)
"""A keypoint file, its path, what reads it when the picture's turn comes, what it holds of a
picture, or numbers ``[17 | 12, 2 | 3]``."""

Item = Picture | tuple[Picture, Keypoints | None]
"""A picture, or a picture and its keypoints."""

_REMEDY = "Give pictures, or pairs of a picture and its keypoints"


@dataclass(frozen=True)
class Request:
    """A picture that could be read.

    Attributes:
        number: Which of the pictures it is, counted from 0.
        path: Where it lies, if it was given as a path.
        picture: The picture, mode RGB.
        keypoints: Its keypoints as given; ``None`` where the detector is to look.
    """

    number: int
    path: str | Path | None
    picture: Image.Image
    keypoints: Keypoints | None


@dataclass(frozen=True)
class Refused:
    """A picture of which there is nothing but an error.

    Attributes:
        number: Which of the pictures it is, counted from 0.
        error: What is wrong with it.
    """

    number: int
    error: InputError


def read_requests(items: Iterable[Item]) -> Iterator[Request | Refused]:
    """Read pictures as they are asked for."""
    for number, item in enumerate(items):
        try:
            yield _read(number, item)
        except InputError as error:
            yield Refused(number, error)


def check_items(items: Iterable[Item]) -> None:
    """Refuse one picture where many are expected.

    Raises:
        InputError: If it is no iterable of pictures.
    """
    single = isinstance(items, (str, bytes, Path, Image.Image))
    if single or not isinstance(items, Iterable):
        remedy = f"{_REMEDY}, in a list or a generator"
        raise InputError("pictures", type(items).__name__, "not several pictures", remedy)


def _read(number: int, item: Item) -> Request:
    pair = item if isinstance(item, tuple) else (item, None)
    if len(pair) != 2:
        raise InputError("pictures", f"a tuple of {len(pair)}", "not a pair", _REMEDY)
    image, keypoints = pair
    path = image if isinstance(image, (str, Path)) else None
    return Request(number, path, as_image(image), keypoints)
