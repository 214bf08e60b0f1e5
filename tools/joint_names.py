"""How BVH files of different makers call the joints of the body."""

from collections.abc import Sequence

from bilayer_graph.errors import InputError

LIMB_JOINTS = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def _table(sides: str, limbs: str, **trunk: str) -> dict[str, str]:
    """Name joints of the body: both sides' prefixes, the seven limb joints, the trunk."""
    table = dict(trunk)
    for side, prefix in zip(("left", "right"), sides.split(), strict=True):
        for joint, name in zip(LIMB_JOINTS, limbs.split(), strict=True):
            table[f"{side}_{joint}"] = prefix + name
    return table


_HUMAN_IK = "Shoulder Arm ForeArm Hand UpLeg Leg Foot"
_BIPED = "Collar Shoulder Elbow Wrist Hip Knee Ankle"
_TOP = {"neck": "Neck", "head": "Head", "pelvis": "Hips"}

# The first table whose names are all in a file is used: those with more of the spine come first.
TABLES: dict[str, dict[str, str]] = {
    "CMU for Daz": _table(
        "l r",
        "Collar Shldr ForeArm Hand Thigh Shin Foot",
        **{"pelvis": "hip", "spine2": "abdomen", "spine3": "chest", "neck": "neck", "head": "head"},
    ),
    "CMU for MotionBuilder": _table(
        "Left Right", _HUMAN_IK, spine1="LowerBack", spine2="Spine", spine3="Spine1", **_TOP
    ),
    "Mixamo": _table(
        "Left Right", _HUMAN_IK, spine1="Spine", spine2="Spine1", spine3="Spine2", **_TOP
    ),
    "HumanIK, two spine joints": _table(
        "Left Right", _HUMAN_IK, spine2="Spine", spine3="Spine1", **_TOP
    ),
    "HumanIK, one spine joint": _table("Left Right", _HUMAN_IK, spine3="Spine", **_TOP),
    "CMU for 3ds Max, two spine joints": _table(
        "Left Right", _BIPED, spine2="Chest", spine3="Chest2", **_TOP
    ),
    "CMU for 3ds Max": _table("Left Right", _BIPED, spine3="Chest", **_TOP),
}


def find_joints(names: Sequence[str]) -> dict[str, int]:
    """Find where in a file the joints of the body are: joint to place among ``names``.

    Capital letters do not matter, nor does what stands before a colon (``mixamorig:Hips``). Where
    a name comes twice the first counts.

    Raises:
        InputError: If no table fits; says which comes nearest and what is missing.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(_plain(name), place)
    missing = {
        label: [name for name in table.values() if _plain(name) not in places]
        for label, table in TABLES.items()
    }
    label = min(missing, key=lambda label: len(missing[label]))
    if missing[label]:
        problem = f"no known set of joint names; for {label} it lacks {', '.join(missing[label])}"
        remedy = f"Rename its joints to one of the sets: {'; '.join(TABLES)}"
        raise InputError("joints", ", ".join(names)[:200], problem, remedy)
    return {joint: places[_plain(name)] for joint, name in TABLES[label].items()}


def _plain(name: str) -> str:
    return name.rpartition(":")[2].lower()
