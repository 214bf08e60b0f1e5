"""AlphaPose's ``--format cmu`` and ``--format open``; its default is a list of COCO's results."""

from typing import Any

from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.json_file import objects
from bilayer_graph.pictures.openpose_file import openpose_rows
from bilayer_graph.pictures.person_rows import Row
from bilayer_graph.pictures.picture_index import Picture

_PEOPLE = ("bodies", "people")
FIELDS = frozenset({*_PEOPLE, "joints", "pose_keypoints_2d"})

# From a model of Halpe's joints the head stands where the neck should; neither is read.
_ORDERS = (JOINT_ORDERS["openpose18"],)


def read_alphapose(content: Any) -> tuple[list[Picture], list[Row]] | None:
    """Return the people of one picture, or all pictures under their names; None if it is neither.

    Args:
        content: The parsed JSON.
    """
    if not isinstance(content, dict):
        return None
    if "bodies" in content:
        return [], _rows(content)
    named = {name: value for name, value in content.items() if _is_picture(value)}
    return ([Picture(name, rows=_rows(named[name])) for name in named], []) if named else None


def _is_picture(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(key), list) for key in _PEOPLE)


def _rows(picture: dict[str, Any]) -> list[Row]:
    if "bodies" not in picture:
        return openpose_rows(objects(picture["people"]))
    return [Row(body.get("joints"), _ORDERS) for body in objects(picture["bodies"])]
