"""2D keypoints of people from files, the square box around a person, and crop coordinates.

Picture coordinates are continuous: pixel ``i`` covers ``[i, i + 1)``, its centre is at ``i + 0.5``,
and the right edge of a picture of width W is at W. Coordinates in files are taken as they stand;
tools that count pixel centres as whole numbers are half a pixel off, far below a detector's noise.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bilayer_graph.body.joints import COCO_TO_JOINTS
from bilayer_graph.errors import InputError

# Side of a person's box over the extent of the visible joints, which lack head, hands and feet.
BOX_MARGIN = 1.4
# Detectors give every joint a place: below this confidence it is a guess, and no part of the box.
MIN_CONFIDENCE = 0.2
# Joints closer together than this many pixels are one point, or are not in pixels at all.
MIN_EXTENT = 2.0

# By the number of joints in a file: where the twelve joints stand in that order.
_ORDERS: dict[str, dict[int, tuple[int, ...]]] = {
    "coco": {17: COCO_TO_JOINTS},
    "npy": {12: tuple(range(12)), 17: COCO_TO_JOINTS},
    "openpose": {
        25: (11, 10, 9, 12, 13, 14, 4, 3, 2, 5, 6, 7),
        18: (10, 9, 8, 11, 12, 13, 4, 3, 2, 5, 6, 7),
    },
}
_REMEDY = "Give COCO JSON (17 joints), OpenPose JSON (25 or 18 joints) or .npy (12 or 17 joints)"


def read_keypoints(path: str | Path, image_name: str | Path | None = None) -> Tensor:
    """People in a keypoint file, in the order of the file and of the twelve joints.

    Read are, by their content:

    - COCO JSON: an annotation file (``annotations``, ``images``), a list of results, or one person
      (``keypoints``). Visibility 0 / 1 / 2 becomes confidence 0 / 1 / 1, a detector's score stays.
    - OpenPose JSON: ``people[].pose_keypoints_2d`` as BODY_25 or COCO-18.
    - ``.npy``: ``[12 | 17, 2 | 3]`` for one person or ``[P, 12 | 17, 2 | 3]``; the 17 are COCO's.
      Without a third column every joint counts as visible.

    People who have no box (see :func:`keypoints_box`) are left out with a warning, unless nobody
    remains.

    Args:
        path: The file.
        image_name: Picture whose people to take where a COCO file has several, by file name, by
            stem, or by a number as ``image_id``.

    Returns:
        [P, 12, 3] float32: x, y in pixels of the picture and confidence in [0, 1].

    Raises:
        InputError: The file is missing or not one of these, a value is not finite, the joint count
            is wrong, no picture fits ``image_name``, or nobody has a box.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("keypoints", path, "no such file", _REMEDY)
    if path.suffix.lower() == ".npy":
        people, layout = _read_npy(path), "npy"
    else:
        people, layout = _read_json(path, None if image_name is None else Path(image_name))
    if not people:
        raise InputError("keypoints", path, "no person in it", _REMEDY)
    keypoints = [_twelve(path, i, person, layout) for i, person in enumerate(people)]
    return _with_box(path, torch.stack(keypoints))


def keypoints_box(keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """Square box around the visible joints, ``BOX_MARGIN`` times as wide as their longer extent.

    Visible is a joint of at least ``MIN_CONFIDENCE``.

    Args:
        keypoints: [..., 12, 3] x, y in pixels and confidence.

    Returns:
        Centre [..., 2] and side [...] in pixels.

    Raises:
        InputError: A person has no visible joint, or all of them in one point.
    """
    centre, extent = _extent(keypoints)
    flat = ~(extent >= MIN_EXTENT)
    if flat.any():
        raise InputError(
            "keypoints",
            f"{int(flat.sum())} of {flat.numel()} people",
            "no visible joints, or all in one point: a box of zero size",
            "Give keypoints in pixels with at least two visible joints",
        )
    return centre, BOX_MARGIN * extent


def to_crop(points: Tensor, centre: Tensor, side: Tensor) -> Tensor:
    """Pixels to crop coordinates: the box becomes [-1, 1] x [-1, 1], ``2 (p - centre) / side``.

    Args:
        points: [..., N, 2] in pixels.
        centre: [..., 2] in pixels.
        side: [...] in pixels.

    Returns:
        [..., N, 2] in crop coordinates.
    """
    return 2 * (points - centre.unsqueeze(-2)) / side[..., None, None]


def to_pixels(points: Tensor, centre: Tensor, side: Tensor) -> Tensor:
    """Crop coordinates to pixels, the inverse of :func:`to_crop`.

    Args:
        points: [..., N, 2] in crop coordinates.
        centre: [..., 2] in pixels.
        side: [...] in pixels.

    Returns:
        [..., N, 2] in pixels.
    """
    return points * side[..., None, None] / 2 + centre.unsqueeze(-2)


def _extent(keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """Centre [..., 2] and longer side [...] of the visible joints; the side is -inf without any."""
    points, hidden = keypoints[..., :2], keypoints[..., 2:] < MIN_CONFIDENCE
    low = points.masked_fill(hidden, torch.inf).amin(dim=-2)
    high = points.masked_fill(hidden, -torch.inf).amax(dim=-2)
    return (low + high) / 2, (high - low).amax(dim=-1)


def _with_box(path: Path, people: Tensor) -> Tensor:
    extent = _extent(people)[1]
    good = extent >= MIN_EXTENT
    if not good.any():
        if (extent < 0).all():
            problem = f"all joints are invisible (confidence below {MIN_CONFIDENCE:g})"
        else:
            problem = f"the visible joints lie within {MIN_EXTENT:g} pixels, a box of zero size"
        remedy = "Give keypoints in pixels with at least two of the 12 limb joints visible"
        raise InputError("keypoints", path, problem, remedy)
    if not good.all():
        left_out = ", ".join(str(i) for i in (~good).nonzero().flatten().tolist())
        warnings.warn(
            f"keypoints={path}: person {left_out} left out, too few visible joints.", stacklevel=3
        )
    return people[good]


def _twelve(path: Path, number: int, values: Any, layout: str) -> Tensor:
    """One checked person [12, 3] from J triples, or from a flat list of 3 J numbers."""
    person = f"person {number}"
    try:
        joints = torch.from_numpy(np.asarray(values, dtype=np.float64).reshape(-1, 3)).float()
    except (TypeError, ValueError, OverflowError) as error:
        problem = f"{person} is not a list of x, y, confidence"
        raise InputError("keypoints", path, problem, _REMEDY) from error
    order = _ORDERS[layout].get(len(joints))
    if order is None:
        allowed = " or ".join(str(count) for count in _ORDERS[layout])
        problem = f"{person} has {len(joints)} joints, expected {allowed}"
        raise InputError("keypoints", path, problem, _REMEDY)
    finite = joints.isfinite().all(dim=1)
    if not finite.all():
        problem = f"{person} has a value that is not finite at joint {int(finite.int().argmin())}"
        remedy = "Mark a missing joint by x = y = confidence = 0"
        raise InputError("keypoints", path, problem, remedy)
    low, high = joints[:, 2].aminmax()
    if low < 0 or high > 2:
        problem = f"{person} has confidences from {low:g} to {high:g}"
        remedy = "Give scores in [0, 1], or COCO's visibility 0, 1 or 2"
        raise InputError("keypoints", path, problem, remedy)
    joints[:, 2].clamp_(max=1)
    return joints[list(order)]


def _read_npy(path: Path) -> list[np.ndarray]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError("keypoints", path, f"not a readable .npy ({error})", _REMEDY) from error
    if array.dtype.kind not in "fiu" or array.ndim not in (2, 3) or array.shape[-1] not in (2, 3):
        found = f"an array of {array.dtype} {list(array.shape)}"
        raise InputError("keypoints", path, f"{found}, not [P, 12 or 17, 2 or 3]", _REMEDY)
    people = array.astype(np.float64).reshape(-1, *array.shape[-2:])
    if people.shape[-1] == 2:
        people = np.concatenate([people, np.ones_like(people[..., :1])], axis=-1)
    return list(people)


def _read_json(path: Path, image_name: Path | None) -> tuple[list[Any], str]:
    """The numbers of every person, and the layout they are in."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("keypoints", path, f"not readable as JSON ({error})", _REMEDY) from error
    if isinstance(content, dict) and "people" in content:
        rows, field, layout = content["people"], "pose_keypoints_2d", "openpose"
    else:
        rows, field, layout = _coco_rows(path, content, image_name), "keypoints", "coco"
    if not isinstance(rows, list) or not all(isinstance(r, dict) and field in r for r in rows):
        raise InputError("keypoints", path, f"no list of people with the field {field}", _REMEDY)
    return [row[field] for row in rows], layout


def _coco_rows(path: Path, content: Any, image_name: Path | None) -> Any:
    """The people of one picture in COCO annotations, in COCO results or alone."""
    names: dict[str, Path] = {}
    if isinstance(content, dict) and "annotations" in content:
        try:
            names = {str(i["id"]): Path(i["file_name"]) for i in content.get("images", [])}
        except (TypeError, KeyError) as error:
            problem = "its images lack id or file_name"
            raise InputError("keypoints", path, problem, _REMEDY) from error
        content = content["annotations"]
    rows = content if isinstance(content, list) else [content]
    if not all(isinstance(row, dict) for row in rows):
        return rows
    ids = [str(row.get("image_id")) for row in rows]
    for key in ids:
        names.setdefault(key, Path(key))
    if len(names) < 2:
        return rows
    chosen = _choose_image(path, names, image_name)
    return [row for row, key in zip(rows, ids, strict=True) if key == chosen]


def _choose_image(path: Path, names: dict[str, Path], image_name: Path | None) -> str:
    """The id whose picture fits best: same path, else same name, else same stem or number."""
    if image_name is not None:
        stem = image_name.stem
        number = str(int(stem)) if stem.isdecimal() else stem
        for fits in (
            [key for key, name in names.items() if name == image_name],
            [key for key, name in names.items() if name.name == image_name.name],
            [key for key, name in names.items() if stem == name.stem or number == key],
        ):
            if len(fits) == 1:
                return fits[0]
    shown = ", ".join(str(name) for name in list(names.values())[:3])
    problem = f"it is unclear which of its {len(names)} pictures ({shown}, ...) is meant"
    if image_name is not None:
        problem += f", {image_name} does not fit exactly one"
    remedy = "Name a picture of the file, or give a file of one picture"
    raise InputError("keypoints", path, problem, remedy)
