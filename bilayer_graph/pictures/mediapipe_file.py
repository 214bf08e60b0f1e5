"""MediaPipe's pose landmarks, of one picture."""

from typing import Any

from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.person_rows import Row
from bilayer_graph.pictures.picture_index import Picture

# As the tasks call them in Python and in JavaScript, the older solutions, and protobuf.
_NAMES = ("pose_landmarks", "landmarks", "poseLandmarks", "landmark")
FIELDS = frozenset({*_NAMES, "visibility", "x", "y"})

_ORDERS = (JOINT_ORDERS["mediapipe"],)


def read_mediapipe(content: Any) -> tuple[list[Picture], list[Row]] | None:
    """Return the people of landmarks JSON, or None if it is none.

    Args:
        content: The parsed JSON: landmarks of one person or of several, under one of their names
            or bare.
    """
    people = _people(content)
    if not _name(content) and not (people and _are_landmarks(people[0])):
        return None
    return [], [Row(_triples(person), _ORDERS, named=True, shares=True) for person in people]


def _name(content: Any) -> str:
    content = content if isinstance(content, dict) else {}
    return next((name for name in _NAMES if name in content), "")


def _unwrapped(values: Any) -> Any:
    name = _name(values)
    return values[name] if name else values


def _people(content: Any) -> list[Any]:
    """Return the landmarks of each person."""
    values = _unwrapped(_unwrapped(content))
    if values is None:  # nobody, to the older ones
        return []
    if not isinstance(values, list) or any(_is_mark(value) for value in values):
        return [values]
    return [_unwrapped(value) for value in values]


def _is_mark(value: Any, *more: str) -> bool:
    return isinstance(value, dict) and {"x", "y", *more} <= value.keys()


def _are_landmarks(values: Any) -> bool:
    marks = values if isinstance(values, list) else []
    return bool(marks) and all(_is_mark(mark, "visibility") for mark in marks)


def _triples(marks: Any) -> Any:
    try:
        return [[mark["x"], mark["y"], mark.get("visibility", 1.0)] for mark in marks]
    except (AttributeError, KeyError, TypeError):
        return None
