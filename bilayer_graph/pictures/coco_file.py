"""COCO keypoints: annotation files, lists of results, one person."""

import math
from typing import Any

from bilayer_graph.pictures.joint_names import NAMELESS, Order, named_order, named_row
from bilayer_graph.pictures.json_file import objects
from bilayer_graph.pictures.person_rows import Row
from bilayer_graph.pictures.picture_index import Picture, printable

# The fields that are read, of pictures, categories and people; the rest is not kept.
FIELDS = frozenset(
    {
        "annotations",
        "categories",
        "category_id",
        "file_name",
        "height",
        "id",
        "image_id",
        "images",
        "joint_names",
        "keypoint_names",
        "keypoints",
        "width",
    }
)

_NAME_FIELDS = ("keypoint_names", "joint_names")


def read_coco(content: Any) -> tuple[list[Picture], list[Row]] | None:
    """Return the pictures of COCO JSON and their people, and the people of no picture.

    Joints are what the file names them: by the row's category, else by the only names in the file.
    17 joints without any names are COCO's.

    Args:
        content: The parsed JSON.

    Returns:
        Pictures and loose people, or None if this is no list of people.
    """
    whole = content if isinstance(content, dict) and "annotations" in content else {}
    rows = whole["annotations"] if whole else content
    if isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list):
        return None
    rows = objects(rows)
    if rows and not any("keypoints" in row for row in rows):
        return None
    joints = _JointNames(whole)
    listed = _pictures(whole.get("images"))
    pictures: dict[str, Picture] = {}
    by_name: dict[str | None, list[Picture]] = {}
    for picture in listed:
        pictures.setdefault(picture.id, picture)
        by_name.setdefault(picture.name, []).append(picture)
    unlisted = []
    loose = []
    for row in rows:
        person = joints.row(row)
        key = _key(row.get("image_id"))
        if key is None:
            loose.append(person)
        elif key not in pictures and len(by_name.get(key, [])) == 1:
            by_name[key][0].rows.append(person)  # some tools write the file name as image_id
        else:
            if key not in pictures:
                pictures[key] = Picture(key)
                unlisted.append(pictures[key])
            pictures[key].rows.append(person)
    return listed + unlisted, loose


def _pictures(images: Any) -> list[Picture]:
    """Return the pictures that a file lists; an entry that is none is passed over."""
    pictures: list[Picture] = []
    by_id: dict[str, Picture] = {}
    for image in objects(images):
        picture = listed_picture(image, "id")
        if picture is None:
            continue
        other = by_id.setdefault(picture.id, picture)
        if other is picture or other.name != picture.name:
            pictures.append(picture)
        if other.name != picture.name:
            other.problem = f"{other} and {picture} have the same id {printable(picture.id)}"
            picture.problem = other.problem
    return pictures


def listed_picture(image: dict[str, Any], id_field: str) -> Picture | None:
    """Return a picture as a file lists it, without its people; None if it has no id."""
    key, name = _key(image.get(id_field)), image.get("file_name")
    if key is None:
        return None
    return Picture(key, name if isinstance(name, str) and name else None, _size(image))


def _size(image: dict[str, Any]) -> tuple[float, float] | None:
    try:
        width, height = float(image["width"]), float(image["height"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    known = 0 < width < math.inf and 0 < height < math.inf
    return (width, height) if known else None


def _key(value: Any) -> str | None:
    """Return an id as text, the same for 7, 7.0 and "7"; None for what is no id."""
    if type(value) is int:
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) and value else None


class _JointNames:
    """What the joints of a row are, by the names in the file."""

    def __init__(self, whole: dict[str, Any]) -> None:
        self._everywhere = _first_names(whole)
        self._categories: dict[str, list[Any]] = {}
        for category in filter(None, objects(whole.get("categories"))):
            names = category.get("keypoints")
            names = None if names == [] else names
            self._categories.setdefault(str(_key(category.get("id"))), []).append(names)
        self._orders: dict[str, Order] = {}

    def row(self, row: dict[str, Any]) -> Row:
        """Return a person with its joint order."""
        own = _first_names(row)
        if own is not None:
            return named_row(row.get("keypoints"), named_order(own))
        key = str(_key(row.get("category_id")))
        order = self._orders.get(key)
        if order is None:
            order = self._orders[key] = self._order_of_category(key)
        return named_row(row.get("keypoints"), order)

    def _order_of_category(self, key: str) -> Order:
        if self._everywhere is not None:
            return named_order(self._everywhere)
        found = self._categories.get(key)
        if found is None:
            # A row of an unknown category: the only names in the file are its names.
            every = [names for found in self._categories.values() for names in found]
            found = [names for names in every if names is not None]
        if any(names != found[0] for names in found[1:]):
            text = f"has category_id {printable(key)}, with different joint names in the file"
            return None, text
        return NAMELESS if not found or found[0] is None else named_order(found[0])


def _first_names(fields: dict[str, Any]) -> Any:
    for name in _NAME_FIELDS:
        if name in fields:
            return fields[name]
    return None
