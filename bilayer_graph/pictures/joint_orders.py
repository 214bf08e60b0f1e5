"""The joint orders of keypoint files, and the way from any of them to COCO's 17."""

import re

import torch
from torch import Tensor

from bilayer_graph.body.joints import COCO_NAMES, JOINT_NAMES

_COCO_18 = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
_FEET = (
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)

# What stands at which place, by the name of the order.
JOINT_ORDERS: dict[str, tuple[str, ...]] = {
    "coco": COCO_NAMES,
    "limbs": JOINT_NAMES,
    "openpose_18": _COCO_18,
    "openpose_25": (*_COCO_18[:8], "mid_hip", *_COCO_18[8:], *_FEET),
}

_SIDES = {"left": "left_", "l": "left_", "right": "right_", "r": "right_"}


def to_coco(joints: Tensor, names: tuple[str, ...]) -> Tensor:
    """Joints of any order in COCO's order; those that the order lacks are zeros.

    Args:
        joints: [..., J, 3] x, y and confidence.
        names: Name of each of the J joints; names that COCO does not have are passed over.

    Returns:
        [..., 17, 3].
    """
    places = [names.index(name) if name in names else len(names) for name in COCO_NAMES]
    missing = torch.zeros_like(joints[..., :1, :])
    return torch.cat([joints, missing], dim=-2)[..., places, :]


def joint_name(written: str) -> str:
    """A joint's name in COCO's spelling, from the spellings of other tools.

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
