"""Names, orders and links of the joints used throughout the package."""

from dataclasses import dataclass

# Order of the 12 skeleton joints, the ones all pose datasets share.
JOINT_NAMES: tuple[str, ...] = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
)

# Limbs and torso: what is drawn, and what the mean bone length is taken over.
BONES: tuple[tuple[int, int], ...] = (
    (0, 1),
    (1, 2),
    (2, 3),
    (3, 4),
    (4, 5),
    (6, 7),
    (7, 8),
    (8, 9),
    (9, 10),
    (10, 11),
    (2, 8),
    (3, 9),
)


@dataclass(frozen=True)
class Skeleton:
    """The joints that the skeleton graph has, of a human or of anything else.

    Attributes:
        names: Name of each joint; ``left_`` or ``right_`` in front says its side.
        bones: Pairs of joints that are linked in drawings and give the mean bone length.
        root: Joints whose mean the joint errors are centred on.
    """

    names: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    root: tuple[int, ...]


HUMAN = Skeleton(JOINT_NAMES, BONES, root=(2, 3))

# Joint i of a mirrored person is joint LEFT_RIGHT[i] of the person.
LEFT_RIGHT: tuple[int, ...] = (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6)

COCO_NAMES: tuple[str, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)

SMPL_JOINT_NAMES: tuple[str, ...] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)

SMPL_PARENTS: tuple[int, ...] = (
    -1,
    0,
    0,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    9,
    9,
    12,
    13,
    14,
    16,
    17,
    18,
    19,
    20,
    21,
)

# Where each of the 12 joints stands in the COCO and SMPL orders.
COCO_TO_JOINTS: tuple[int, ...] = tuple(COCO_NAMES.index(name) for name in JOINT_NAMES)
SMPL_TO_JOINTS: tuple[int, ...] = tuple(SMPL_JOINT_NAMES.index(name) for name in JOINT_NAMES)
