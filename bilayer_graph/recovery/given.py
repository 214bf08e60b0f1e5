"""2D keypoints that a user gives: files, arrays, lists, tensors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.pictures import KeypointFile, People
from bilayer_graph.recovery.requests import Keypoints


@dataclass(frozen=True)
class Sighting:
    """A person whose keypoints are known and can be used.

    Attributes:
        index: Which of the people of the file, the array or the detector, counted from 0.
        keypoints: ``[17, 3]`` in pixels and confidence.
        score: Confidence in the person, in [0, 1].
        uncertain: Whether the detector only gave it for want of a better.
        patches: What the model sees at the keypoints, ``[17, C]``, if it need not look.
    """

    index: int
    keypoints: Tensor
    score: float = 1.0
    uncertain: bool = False
    patches: Tensor | None = None


def given_people(
    picture: Image.Image, path: str | Path | None, keypoints: Keypoints
) -> list[Sighting]:
    """Return the people whose keypoints are given for a picture.

    Args:
        picture: The picture.
        path: Where it lies; by its name, a file of many pictures knows it.
        keypoints: As the user gave them.

    Raises:
        InputError: If they hold nobody of this picture who can be used.
    """
    # A file that was opened for many pictures has to name this one.
    only = not isinstance(keypoints, KeypointFile)
    found = _opened(keypoints).people(path, picture.size, only)
    rows = found.rows
    if isinstance(keypoints, People):
        rows = tuple(keypoints.rows[row] for row in rows)
    pairs = zip(rows, found.keypoints, strict=True)
    return [Sighting(row, person) for row, person in pairs]


def as_array(values: Any) -> np.ndarray:
    """Return numbers in any container as an array.

    Raises:
        InputError: If they make up none.
    """
    try:
        if isinstance(values, Tensor):
            values = values.detach().cpu()
            values = values.double() if values.is_floating_point() else values
            values = values.numpy()
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        remedy = "Give an array [17, 3] or [12, 3], or one of these for each person"
        problem = f"no array of numbers ({str(error)[:80]})"
        raise InputError("keypoints", type(values).__name__, problem, remedy) from error


def _opened(keypoints: Keypoints) -> KeypointFile:
    if isinstance(keypoints, KeypointFile):
        return keypoints
    if isinstance(keypoints, (str, Path)):
        return KeypointFile.load(keypoints)
    if callable(keypoints):
        return keypoints()
    if isinstance(keypoints, People):
        keypoints = keypoints.keypoints
    return KeypointFile.of_array(as_array(keypoints))
