"""The formats of keypoint files, and which of them a file is."""

from pathlib import Path

from bilayer_graph.errors import InputError
from bilayer_graph.pictures import (
    alphapose_file,
    coco_file,
    detectron2_file,
    mediapipe_file,
    mmpose_file,
    mpii_file,
    openpose_file,
    ultralytics_file,
)
from bilayer_graph.pictures.joint_orders import JOINT_ORDERS, joint_order
from bilayer_graph.pictures.json_file import read_json
from bilayer_graph.pictures.npy_file import read_npy
from bilayer_graph.pictures.person_rows import REMEDY, Row
from bilayer_graph.pictures.picture_index import Picture

# Each tells its own by the names of fields. COCO's comes last: it takes any list of keypoints.
_JSON = {
    mmpose_file.read_mmpose: mmpose_file.FIELDS,
    openpose_file.read_openpose: openpose_file.FIELDS,
    alphapose_file.read_alphapose: alphapose_file.FIELDS,
    mediapipe_file.read_mediapipe: mediapipe_file.FIELDS,
    mpii_file.read_mpii: mpii_file.FIELDS,
    ultralytics_file.read_ultralytics: ultralytics_file.FIELDS,
    detectron2_file.read_detectron2: detectron2_file.FIELDS,
    coco_file.read_coco: coco_file.FIELDS,
}
_FIELDS = frozenset[str]().union(*_JSON.values())


def read_people(path: Path, joints: str | None = None) -> tuple[list[Picture], list[Row]]:
    """Return the pictures of a file with their people, and the people of no picture.

    Args:
        path: The file; ``.npy`` and ``.txt`` are what they are called, others JSON.
        joints: What joints without names are, by a name of ``JOINT_ORDERS``.

    Raises:
        InputError: If it is none of the formats, the order is unknown, or the joints have names.
    """
    order = None if joints is None else joint_order(joints)
    kind = path.suffix.lower()
    if kind == ".txt":
        return [], ultralytics_file.read_yolo(path, order or JOINT_ORDERS["coco"])
    pictures, loose = ([], read_npy(path)) if kind == ".npy" else _read_json(path)
    if joints is not None:
        for rows in (loose, *(picture.rows for picture in pictures)):
            rows[:] = said_rows(path, rows, joints)
    return pictures, loose


def said_rows(path: Path, rows: list[Row], joints: str) -> list[Row]:
    """Read people whose joints are what a user says; ``path`` is for messages.

    Raises:
        InputError: If there is no such order, or the rows have names.
    """
    order = joint_order(joints)
    if any(row.named for row in rows):
        raise InputError(
            "joints", joints, f"{path} says itself what its joints are", "Leave it out"
        )
    return [row._replace(orders=(order,), problem="") for row in rows]


def _read_json(path: Path) -> tuple[list[Picture], list[Row]]:
    content = read_json(path, _FIELDS, REMEDY)
    for read in _JSON:
        found = read(content)
        if found is not None:
            return found
    raise InputError("keypoints", path, "no list of people with keypoints in it", REMEDY)
