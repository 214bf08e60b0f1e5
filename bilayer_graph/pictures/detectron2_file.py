"""Detectron2's instances and dataset dicts; its ``coco_instances_results.json`` is COCO's."""

from typing import Any

from bilayer_graph.pictures.coco_file import listed_picture
from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.json_file import objects
from bilayer_graph.pictures.person_rows import Row
from bilayer_graph.pictures.picture_index import Picture

FIELDS = frozenset(
    {
        *("annotations", "file_name", "height", "image_id", "instances", "keypoints"),
        *("pred_keypoints", "width"),
    }
)

_ORDERS = (JOINT_ORDERS["coco"],)
_LISTS = ("instances", "annotations")


def read_detectron2(content: Any) -> tuple[list[Picture], list[Row]] | None:
    """Return the pictures and their people, or the people of one picture; None if it is none.

    Args:
        content: The parsed JSON: ``pred_keypoints`` of one picture, or a list of pictures, each
            with ``instances`` or, in dataset dicts, with ``annotations``.
    """
    if isinstance(content, dict):
        fields = content.get("instances", content)
        found = fields.get("pred_keypoints") if isinstance(fields, dict) else None
        return ([], [Row(person, _ORDERS) for person in found]) if isinstance(found, list) else None
    entries = objects(content)
    if not any("image_id" in entry and _people(entry) is not None for entry in entries):
        return None
    pictures: list[Picture] = []
    loose: list[Row] = []
    for entry in entries:
        picture = listed_picture(entry, "image_id")
        rows = [Row(row.get("keypoints"), _ORDERS) for row in objects(_people(entry))]
        if picture is None:
            loose += rows
        else:
            picture.rows += rows
            pictures.append(picture)
    return pictures, loose


def _people(entry: dict[str, Any]) -> Any:
    return next((entry[name] for name in _LISTS if isinstance(entry.get(name), list)), None)
