"""What programs for animation call the joints of a body."""

from bilayer_graph.body import SMPL_JOINT_NAMES

_TRUNK = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Spine1",
    "spine3": "Spine2",
    "neck": "Neck",
    "head": "Head",
}
_LIMBS = {
    "hip": "UpLeg",
    "knee": "Leg",
    "ankle": "Foot",
    "foot": "ToeBase",
    "collar": "Shoulder",
    "shoulder": "Arm",
    "elbow": "ForeArm",
    "wrist": "Hand",
    "hand": "HandMiddle1",
}


def animation_names(count: int) -> list[str]:
    """Return names for the joints of a body, for SMPL's 24 those that Mixamo made common.

    Programs that carry motion from one skeleton to another know them.
    """
    if count != len(SMPL_JOINT_NAMES):
        return [f"joint_{joint}" for joint in range(count)]
    return [_animation_name(name) for name in SMPL_JOINT_NAMES]


def _animation_name(name: str) -> str:
    side, _, limb = name.rpartition("_")
    return side.capitalize() + _LIMBS[limb] if side else _TRUNK[name]
