"""Joint names as files spell them."""

import re
from typing import Any

from bilayer_graph.body.joints import COCO_NAMES, JOINT_NAMES
from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.person_rows import SAY_JOINTS, Row
from bilayer_graph.pictures.picture_index import printable

_SIDES = {"left": "left_", "l": "left_", "right": "right_", "r": "right_"}

Order = tuple[tuple[str, ...] | None, str]
"""The joint order that names say, or what is wrong with them; neither where there are no names."""

NAMELESS: Order = (None, "")
_REMEDY = f"Name the joints as COCO does. {SAY_JOINTS}"


def joint_name(written: str) -> str:
    """Return a joint's name in COCO's spelling, from the spellings of other tools.

    ``Left Shoulder``, ``left-shoulder``, ``LShoulder``, ``l_shoulder``, ``leftShoulder`` and
    ``shoulder.L`` are all ``left_shoulder``. A name that is none of COCO's 17 comes back as it is.
    """
    parts = re.findall(r"[a-z]+|\d+", re.sub(r"([a-z])([A-Z])", r"\1 \2", written).lower())
    candidates = ["_".join(parts)]
    if len(parts) == 2:
        candidates += [_SIDES.get(parts[i], "?") + parts[1 - i] for i in (0, 1)]
    elif len(parts) == 1:
        for side, prefix in _SIDES.items():
            if parts[0].startswith(side):
                candidates.append(prefix + parts[0].removeprefix(side))
    return next((name for name in candidates if name in COCO_NAMES), written)


def named_order(names: Any) -> Order:
    """Return the order that a file's names say."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None, "has joint names that are no list of words"
    order = tuple(joint_name(name) for name in names)
    lacking = [name for name in JOINT_NAMES if name not in order]
    if lacking:
        shown = ", ".join(printable(name) for name in names[:3])
        return None, f"has joints named {shown}, ... in the file, without {', '.join(lacking)}"
    twice = [name for name in COCO_NAMES if order.count(name) > 1]
    if twice:
        return None, f"has two joints named {twice[0]} in the file"
    return order, ""


def named_row(values: Any, order: Order) -> Row:
    """Return a person whose joints the file names; without names 17 joints are COCO's."""
    names, problem = order
    return Row(values, (names or JOINT_ORDERS["coco"],), problem, _REMEDY, named=names is not None)
