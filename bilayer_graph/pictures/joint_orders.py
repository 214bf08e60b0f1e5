"""The joint orders of keypoint files, and the way from any of them to COCO's 17."""

import torch
from torch import Tensor

from bilayer_graph.body.joints import COCO_NAMES, JOINT_NAMES
from bilayer_graph.errors import InputError

_RIGHT_ARM = ("right_shoulder", "right_elbow", "right_wrist")
_LEFT_ARM = ("left_shoulder", "left_elbow", "left_wrist")
_RIGHT_LEG = ("right_hip", "right_knee", "right_ankle")
_LEFT_LEG = ("left_hip", "left_knee", "left_ankle")
_LIMBS = (*_RIGHT_ARM, *_LEFT_ARM, *_RIGHT_LEG, *_LEFT_LEG)
_EYES_EARS = ("right_eye", "left_eye", "right_ear", "left_ear")
_TOES_HEEL = ("big_toe", "small_toe", "heel")
_OPENPOSE_FEET = tuple(f"{side}_{part}" for side in ("left", "right") for part in _TOES_HEEL)
_HALPE_FEET = tuple(f"{side}_{part}" for part in _TOES_HEEL for side in ("left", "right"))
_HALPE_26 = (*COCO_NAMES, "head", "neck", "hip", *_HALPE_FEET)


def _pairs(*parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


def _and_more(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return names and those of faces and hands, which nothing here asks for, to ``count``."""
    return (*names, *(f"more_{place}" for place in range(len(names), count)))


# What stands at which place, by the name of the order; a user says these names.
JOINT_ORDERS: dict[str, tuple[str, ...]] = {
    "coco": COCO_NAMES,
    "limbs": JOINT_NAMES,
    "wholebody": _and_more((*COCO_NAMES, *_OPENPOSE_FEET), 133),
    "halpe26": _HALPE_26,
    "halpe136": _and_more(_HALPE_26, 136),
    "openpose15": ("head", "neck", *_LIMBS, "chest"),
    "openpose18": ("nose", "neck", *_LIMBS, *_EYES_EARS),
    "openpose25": (
        *("nose", "neck", *_RIGHT_ARM, *_LEFT_ARM, "mid_hip", *_RIGHT_LEG, *_LEFT_LEG),
        *(*_EYES_EARS, *_OPENPOSE_FEET),
    ),
    "mpii": (
        *(*reversed(_RIGHT_LEG), *_LEFT_LEG, "pelvis", "thorax", "upper_neck", "head_top"),
        *(*reversed(_RIGHT_ARM), *_LEFT_ARM),
    ),
    "crowdpose": (
        *_pairs("shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
        *("head", "neck"),
    ),
    "mediapipe": (
        *("nose", "left_eye_inner", "left_eye", "left_eye_outer"),
        *("right_eye_inner", "right_eye", "right_eye_outer"),
        *_pairs("ear", "mouth", "shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
        *_pairs("hip", "knee", "ankle", "heel", "foot_index"),
    ),
}


def joint_order(name: str) -> tuple[str, ...]:
    """Return the order that a user names.

    Raises:
        InputError: If there is none of this name.
    """
    if name not in JOINT_ORDERS:
        remedy = f"Give one of {', '.join(JOINT_ORDERS)}"
        raise InputError("joints", name, "no such order of joints", remedy)
    return JOINT_ORDERS[name]


def to_coco(joints: Tensor, names: tuple[str, ...]) -> Tensor:
    """Return joints of any order in COCO's order; those that the order lacks are zeros.

    Args:
        joints: ``[..., J, 3]`` x, y and confidence.
        names: Name of each of the J joints; names that COCO does not have are passed over.

    Returns:
        ``[..., 17, 3]``.
    """
    places = [names.index(name) if name in names else len(names) for name in COCO_NAMES]
    missing = torch.zeros_like(joints[..., :1, :])
    return torch.cat([joints, missing], dim=-2)[..., places, :]
