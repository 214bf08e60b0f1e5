"""Ultralytics' keypoints: the JSON of its results, and the label lines of YOLO pose."""

from pathlib import Path
from typing import Any

from bilayer_graph.errors import InputError
from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.json_file import objects
from bilayer_graph.pictures.person_rows import MAX_PEOPLE, REMEDY, Row, too_many, with_scores
from bilayer_graph.pictures.picture_index import Picture

FIELDS = frozenset({"keypoints", "visible", "x", "y"})

# Class, and centre and size of the box.
_BEFORE = 5
# A confidence of the box and the number of a track may follow the keypoints.
_AFTER = 2


def read_ultralytics(content: Any) -> tuple[list[Picture], list[Row]] | None:
    """Return the people of one picture from ``Results.to_json``, or None if it is none.

    Args:
        content: The parsed JSON.
    """
    found = [entry.get("keypoints") for entry in objects(content)]
    if not any(isinstance(keypoints, dict) and "x" in keypoints for keypoints in found):
        return None
    return [], [Row(_triples(keypoints), (JOINT_ORDERS["coco"],)) for keypoints in found]


def read_yolo(path: Path, order: tuple[str, ...]) -> list[Row]:
    """Return the people of a ``.txt``, one a line: class, box, and x, y, visibility of each joint.

    Args:
        path: The file.
        order: What the joints are; the lines do not say it.

    Raises:
        InputError: If it is no text, or of more people than a picture has.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        problem = f"not readable as text ({str(error)[:200]})"
        raise InputError("keypoints", path, problem, REMEDY) from error
    lines = [line for line in lines if line.strip()]
    if len(lines) > MAX_PEOPLE:
        raise too_many(path, len(lines))
    return [_line(line, order) for line in lines]


def _triples(keypoints: Any) -> Any:
    if not isinstance(keypoints, dict):
        return keypoints
    x, y = keypoints.get("x"), keypoints.get("y")
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        return "unreadable"
    seen = keypoints.get("visible", [1.0] * len(x))
    return _seen(with_scores(list(zip(x, y, strict=True)), seen))


def _line(line: str, order: tuple[str, ...]) -> Row:
    try:
        values = [float(word) for word in line.split()][_BEFORE:]
    except ValueError:
        return Row(None, (order,), "is no line of numbers: class, box, keypoints")
    count = len(order)
    for columns in (3, 2):
        if 0 <= len(values) - columns * count <= _AFTER:
            points = [values[columns * i : columns * (i + 1)] for i in range(count)]
            triples = [[*point, 1.0][:3] for point in points]
            return Row(_seen(triples), (order,), shares=True)
    return Row(values[: len(values) // 3 * 3], (order,), shares=True)


def _seen(triples: Any) -> Any:
    """Take confidence from joints at (0, 0), where Ultralytics puts those that it does not see."""
    try:
        return [[x, y, seen if (x, y) != (0, 0) else 0.0] for x, y, seen in triples]
    except (TypeError, ValueError):
        return triples
