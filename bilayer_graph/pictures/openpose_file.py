"""OpenPose keypoints: the people of one picture."""

from typing import Any

from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.json_file import objects
from bilayer_graph.pictures.person_rows import Row
from bilayer_graph.pictures.picture_index import Picture

# The second name is that of its first versions.
_POSES = ("pose_keypoints_2d", "pose_keypoints")
FIELDS = frozenset({"people", *_POSES})

_ORDERS = tuple(JOINT_ORDERS[name] for name in ("openpose25", "openpose18", "openpose15"))


def read_openpose(content: Any) -> tuple[list[Picture], list[Row]] | None:
    """Return the people of OpenPose JSON, or None if there is no list of them.

    Args:
        content: The parsed JSON.
    """
    if not isinstance(content, dict) or not isinstance(content.get("people"), list):
        return None
    people = objects(content["people"])
    if people and not any(name in person for person in people for name in _POSES):
        return None
    return [], openpose_rows(people)


def openpose_rows(people: list[dict[str, Any]]) -> list[Row]:
    """Read people as OpenPose writes them."""
    return [
        Row(next((person[name] for name in _POSES if name in person), None), _ORDERS)
        for person in people
    ]
