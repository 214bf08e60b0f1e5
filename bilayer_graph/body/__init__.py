"""Body models, their files, joint orders, rotations and cameras."""

from bilayer_graph.body.body_file import read_body_file
from bilayer_graph.body.body_model import BodyModel, BodyOutput
from bilayer_graph.body.camera import UPRIGHT, PerspectiveCamera, fit_camera, project
from bilayer_graph.body.joints import (
    BONES,
    COCO_NAMES,
    COCO_TO_JOINTS,
    HUMAN,
    JOINT_NAMES,
    LEFT_RIGHT,
    SMPL_JOINT_NAMES,
    SMPL_PARENTS,
    SMPL_TO_JOINTS,
    Skeleton,
)
from bilayer_graph.body.mirror import (
    COCO_LEFT_RIGHT,
    mirror_joints,
    mirror_keypoints,
    mirror_order,
    mirror_rotations,
)
from bilayer_graph.body.reduced import PlacedBones, ReducedBody
from bilayer_graph.body.rig import Rig, make_rigs
from bilayer_graph.body.rotations import (
    axis_angle_to_matrix,
    gram_schmidt,
    look_at,
    matrix_to_axis_angle,
    nearest_rotation,
)

__all__ = [
    "BONES",
    "COCO_LEFT_RIGHT",
    "COCO_NAMES",
    "COCO_TO_JOINTS",
    "HUMAN",
    "JOINT_NAMES",
    "LEFT_RIGHT",
    "SMPL_JOINT_NAMES",
    "SMPL_PARENTS",
    "SMPL_TO_JOINTS",
    "UPRIGHT",
    "BodyModel",
    "BodyOutput",
    "PerspectiveCamera",
    "PlacedBones",
    "ReducedBody",
    "Rig",
    "Skeleton",
    "axis_angle_to_matrix",
    "fit_camera",
    "gram_schmidt",
    "look_at",
    "make_rigs",
    "matrix_to_axis_angle",
    "mirror_joints",
    "mirror_keypoints",
    "mirror_order",
    "mirror_rotations",
    "nearest_rotation",
    "project",
    "read_body_file",
]
