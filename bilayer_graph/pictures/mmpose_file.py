"""MMPose's predictions, of a picture or of a video's frames."""

from typing import Any

from bilayer_graph.pictures.joint_names import NAMELESS, Order, named_order, named_row
from bilayer_graph.pictures.json_file import objects
from bilayer_graph.pictures.person_rows import Row, with_scores
from bilayer_graph.pictures.picture_index import Picture

FIELDS = frozenset({"frame_id", "instance_info", "instances", "keypoint_scores", "keypoints"})


def read_mmpose(content: Any) -> tuple[list[Picture], list[Row]] | None:
    """Return the people of MMPose JSON, by frames where it has frames; None if it is none.

    Joints are what ``meta_info`` names them; files of the inferencer have no names.

    Args:
        content: The parsed JSON.
    """
    order = NAMELESS
    if isinstance(content, dict) and "instance_info" in content:
        order = _named(content.get("meta_info"))
        content = content["instance_info"]
    elif not _is_predictions(content):
        return None
    content = _unnested(content)
    if not any("instances" in entry for entry in objects(content)):
        return [], _rows(content, order)
    frames = objects(content)
    return [
        Picture(str(frame.get("frame_id")), rows=_rows(frame.get("instances"), order))
        for frame in frames
    ], []


def _is_predictions(content: Any) -> bool:
    return any(
        "keypoint_scores" in entry or {"frame_id", "instances"} <= entry.keys()
        for entry in objects(_unnested(content))
    )


def _unnested(content: Any) -> Any:
    """Return a list of instances, which some versions put into a list of one picture."""
    nested = isinstance(content, list) and len(content) == 1 and isinstance(content[0], list)
    return content[0] if nested else content


def _named(meta: Any) -> Order:
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict):
        return NAMELESS
    return named_order([names.get(str(number)) for number in range(len(names))])


def _rows(people: Any, order: Order) -> list[Row]:
    return [
        named_row(with_scores(person.get("keypoints"), person.get("keypoint_scores")), order)
        for person in objects(people)
    ]
