"""OpenPose keypoints: the people of one picture."""

from typing import Any

from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.person_rows import Row

FIELDS = frozenset({"people", "pose_keypoints_2d"})

_ORDERS = (JOINT_ORDERS["openpose_25"], JOINT_ORDERS["openpose_18"])


def read_openpose(content: dict[str, Any]) -> list[Row] | None:
    """The people of OpenPose JSON, or None if there is no list of them.

    Args:
        content: The parsed JSON, with ``people``.
    """
    people = content["people"]
    if not isinstance(people, list):
        return None
    people = [person if isinstance(person, dict) else {} for person in people]
    if people and not any("pose_keypoints_2d" in person for person in people):
        return None
    return [Row(person.get("pose_keypoints_2d"), _ORDERS) for person in people]
