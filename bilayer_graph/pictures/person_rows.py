"""One person of a keypoint file: from the numbers as written to 17 checked keypoints."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.pictures.box import (
    MIN_CONFIDENCE,
    MIN_EXTENT,
    keypoints_box,
    limbs,
    person_box,
    shows_picture,
    visible_extent,
)
from bilayer_graph.pictures.joint_orders import JOINT_ORDERS, to_coco
from bilayer_graph.pictures.json_file import numbers

REMEDY = "Give JSON of COCO, OpenPose or another tool in docs/data.md, .npy, or YOLO's .txt"
SAY_JOINTS = "Or say which they are: joints=NAME, on the command line --joints NAME"

# More are the frames of a film, not the people of a picture.
MAX_PEOPLE = 1000
# Beyond any picture, in pixels.
_MAX_COORDINATE = 1e6
# Joints may lie outside of the picture, but not that many pictures away from it.
_MAX_SHARE = 10.0
# Heatmaps and logits end well below; a scale of 0 to 100 does not.
_MAX_SCORE = 10.0


class Row(NamedTuple):
    """One person as a file has it.

    Attributes:
        values: J triples x, y, confidence, or a flat list of 3 J numbers, also as text; None where
            there are none.
        orders: Joint orders that may be meant; the one of J joints is.
        problem: Why the person cannot be used, if that is known already.
        remedy: What would help against it.
        named: Whether the file itself says what the joints are.
        shares: Whether x and y are shares of the picture's width and height, as the format says.
    """

    values: Any
    orders: tuple[tuple[str, ...], ...]
    problem: str = ""
    remedy: str = REMEDY
    named: bool = False
    shares: bool = False


class UnusableRowError(Exception):
    """Why a person is left out, said so that "person 3" fits before it, and what would help."""

    def __init__(self, problem: str, remedy: str = REMEDY) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


def too_many(path: Path, people: int) -> InputError:
    """Return the error of a file with more people in a picture than a picture can have."""
    remedy = "Give the people of one picture, not those of all frames of a film"
    problem = f"{people} people in one picture, more than {MAX_PEOPLE}"
    return InputError("keypoints", path, problem, remedy)


def with_scores(points: Any, scores: Any) -> Any:
    """Return triples of pairs x, y and their scores; if none, what :func:`read_row` refuses."""
    if points is None:
        return None
    try:
        return [[*point, score] for point, score in zip(points, scores, strict=True)]
    except (TypeError, ValueError):
        return "unreadable"


def read_row(row: Row, size: tuple[int, int] | None = None) -> tuple[Tensor, bool]:
    """Return the checked keypoints of one person.

    Args:
        row: The person.
        size: Width and height of the picture, where known.

    Returns:
        ``[17, 3]`` float32 in COCO's order with confidence in [0, 1], and whether scores outside of
        [0, 1] were clamped.

    Raises:
        UnusableRowError: If the row holds no person that can be used.
    """
    joints, order = _joints(row)
    _check_coordinates(joints)
    if row.shares:
        joints[:, :2] *= _whole(joints, size)
    clamped = _check_scores(joints[:, 2])
    joints[:, 2] = joints[:, 2].clamp(0, 1)
    keypoints = to_coco(joints, order)
    _check_box(keypoints)
    boxes = keypoints_box(keypoints), person_box(keypoints)
    if size is not None and not all(shows_picture(*box, size) for box in boxes):
        problem = f"lies outside of the picture of {size[0]} x {size[1]} pixels"
        raise UnusableRowError(problem, "Give keypoints in pixels of this picture")
    return keypoints, clamped


def _joints(row: Row) -> tuple[Tensor, tuple[str, ...]]:
    """Return the joints ``[J, 3]`` and what they are."""
    if row.problem:
        raise UnusableRowError(row.problem, row.remedy)
    if row.values is None:
        raise UnusableRowError("has no keypoints")
    joints = _triples(row.values)
    for order in row.orders:
        if len(order) == len(joints):
            return torch.from_numpy(joints).float(), order
    allowed = " or ".join(str(len(order)) for order in row.orders)
    problem = f"has {len(joints)} joints, expected {allowed}"
    names = [name for name, order in JOINT_ORDERS.items() if len(order) == len(joints)]
    if row.named or not names:
        raise UnusableRowError(problem)
    choice = " or ".join(names)
    remedy = f"Say which they are: joints={choice}, on the command line --joints {choice}"
    raise UnusableRowError(problem, remedy)


def _triples(values: Any) -> np.ndarray:
    """Return ``[J, 3]`` from J triples or from a flat list."""
    try:
        array = np.array(numbers(values), dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError):
        array = np.array(0.0)
    if array.ndim == 1 and len(array) % 3 == 0:
        return array.reshape(-1, 3)
    if array.ndim != 2 or array.shape[1] != 3:
        raise UnusableRowError("is not a list of x, y, confidence")
    return array


def _whole(joints: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Return what shares of a picture are shares of: [2] width and height."""
    if joints[:, :2].abs().max() > _MAX_SHARE:
        problem = f"has coordinates beyond {_MAX_SHARE:g}, where its format has shares of the size"
        raise UnusableRowError(problem, "Divide them by the picture's width and height")
    if size is None:
        problem = "has shares of the picture's size as coordinates, and the size is not given"
        raise UnusableRowError(problem, "Give image_size=(width, height)")
    return torch.tensor(size, dtype=joints.dtype)


def _check_coordinates(joints: Tensor) -> None:
    wrong = ~(joints.isfinite().all(dim=1) & (joints[:, :2].abs() <= _MAX_COORDINATE).all(dim=1))
    if wrong.any():
        joint = int(wrong.int().argmax())
        what = "that is not finite" if not joints[joint].isfinite().all() else "beyond any picture"
        remedy = "Mark a missing joint by x = y = confidence = 0"
        raise UnusableRowError(f"has a value {what} at joint {joint}", remedy)


def _check_scores(scores: Tensor) -> bool:
    """Return whether scores stick out of [0, 1]; COCO's visibility 0, 1, 2 does not."""
    low, high = scores.aminmax()
    if high > _MAX_SCORE:
        problem = f"has confidences from {low:g} to {high:g}"
        raise UnusableRowError(problem, "Give scores in [0, 1], or COCO's visibility 0, 1 or 2")
    visibility = ((scores == 0) | (scores == 1) | (scores == 2)).all()
    return bool((low < 0) | (high > 1)) and not bool(visibility)


def _check_box(keypoints: Tensor) -> None:
    joints = limbs(keypoints)
    places = joints[joints[:, 2] >= MIN_CONFIDENCE, :2]
    remedy = "Give keypoints in pixels with at least two of the 12 limb joints visible"
    if not len(places):
        below = f"confidence below {MIN_CONFIDENCE:g}"
        raise UnusableRowError(f"has all limb joints invisible ({below})", remedy)
    extent = float(visible_extent(joints)[1])
    if extent > 0 and places.abs().max() <= 1:
        problem = "has normalised coordinates, all within [-1, 1]"
        remedy = "Give keypoints in pixels: multiply by the width and height of the picture"
        raise UnusableRowError(problem, remedy)
    if extent < MIN_EXTENT:
        problem = f"has its visible joints within {MIN_EXTENT:g} pixels, a box of zero size"
        raise UnusableRowError(problem, remedy)
