"""Carry the motion of a BVH skeleton over to the 24 joints of the body."""

from itertools import pairwise

import torch
from bvh import Bvh, rest_positions, world_rotations
from joint_names import find_joints
from torch import Tensor

from bilayer_graph.body import (
    SMPL_JOINT_NAMES,
    SMPL_PARENTS,
    axis_angle_to_matrix,
    matrix_to_axis_angle,
)
from bilayer_graph.errors import InputError

_SPINE = ("pelvis", "spine1", "spine2", "spine3")
# Bones whose direction the body takes over: from the joint to its child.
_LIMB_BONES = {
    f"{side}_{joint}": f"{side}_{child}"
    for side in ("left", "right")
    for joint, child in (
        ("hip", "knee"),
        ("knee", "ankle"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
    )
}
# A rest pose may spread its legs or hang its arms: bones up to about 100 degrees off the T-pose.
_MIN_COSINE = -0.2
_MIN_AXIS_COSINE = 0.8
_REST_REMEDY = "Give a BVH file that stands in a T-pose where all its angles are zero"


def retarget(bvh: Bvh, rest_joints: Tensor, frames: slice = slice(None)) -> Tensor:
    r"""Return rotations of the body's joints that follow a BVH skeleton.

    Every joint takes the world rotation of its counterpart in the file,

    .. math:: G_j = A \, G^{file}_j A^T C_j

    where :math:`A` takes the file's axes to y up, facing +z, left = +x, and :math:`C_j` is the
    smallest rotation from the bone of the body's T-pose to the file's bone at zero angles. It is
    there for thighs, shins, upper arms and forearms, whose directions are then the file's in every
    frame; hands take the forearm's, and for the rest it is the identity. Spine joints that the file
    lacks share the turn between their neighbours; toes and hands lie straight.

    Args:
        bvh: The file.
        rest_joints: ``[24, 3]`` joints of the body in its T-pose, metres.
        frames: Which frames.

    Returns:
        ``[F, 24, 3, 3]`` float64, relative to the parents, as in
        :class:`~bilayer_graph.synthetic.motion.MotionPoses`.

    Raises:
        InputError: If the joints have unknown names, or the rest pose is no T-pose.
    """
    joints = find_joints(bvh.names)
    rest = rest_positions(bvh)
    axes = body_axes({name: rest[place] for name, place in joints.items()})
    places = {name: axes @ rest[place] for name, place in joints.items()}
    corrections = _bone_corrections(places, rest_joints.double())
    world = world_rotations(bvh, joints.values(), frames)
    turns = {
        name: axes @ world[place] @ axes.T @ corrections[name]
        if name in corrections
        else axes @ world[place] @ axes.T
        for name, place in joints.items()
    }
    _fill_spine(turns)
    return _relative(turns)


def body_axes(places: dict[str, Tensor]) -> Tensor:
    """Return the file's axes that point left, up and forwards: the rows of a rotation ``[3, 3]``.

    Args:
        places: Joints of the rest pose, [3] each.

    Raises:
        InputError: If the trunk or the line between the hips follows no axis.
    """
    left = _nearest_axis(places["left_hip"] - places["right_hip"], "the line between the hips")
    up = _nearest_axis(places["neck"] - places["pelvis"], "the trunk")
    if left @ up != 0:
        raise InputError("rest pose", "lying hips", "trunk and hips are parallel", _REST_REMEDY)
    return torch.stack([left, up, torch.linalg.cross(left, up)])


def _nearest_axis(vector: Tensor, what: str) -> Tensor:
    along = vector / vector.norm()
    largest = along.abs().argmax()
    if not along[largest].abs() > _MIN_AXIS_COSINE:
        shown = [round(number, 2) for number in vector.tolist()]
        raise InputError("rest pose", shown, f"{what} follows no axis of the file", _REST_REMEDY)
    axis = torch.zeros_like(along)
    axis[largest] = along[largest].sign()
    return axis


def _bone_corrections(places: dict[str, Tensor], rest_joints: Tensor) -> dict[str, Tensor]:
    """Return by joint the rotation from the body's bone to the file's."""
    corrections = {}
    for name, child in _LIMB_BONES.items():
        ends = [rest_joints[SMPL_JOINT_NAMES.index(joint)] for joint in (name, child)]
        bone, wanted = ends[1] - ends[0], places[child] - places[name]
        bone, wanted = bone / bone.norm(), wanted / wanted.norm()
        if not bone @ wanted > _MIN_COSINE:
            shown = [round(number, 2) for number in wanted.tolist()]
            problem = f"the bone from {name} to {child} has no length or is far from a T-pose"
            raise InputError("rest pose", shown, problem, _REST_REMEDY)
        corrections[name] = smallest_rotation(bone, wanted)
    for side in ("left", "right"):
        corrections[f"{side}_wrist"] = corrections[f"{side}_elbow"]
    return corrections


def smallest_rotation(start: Tensor, end: Tensor) -> Tensor:
    r"""Return the rotation ``[3, 3]`` about :math:`a \times b` from a unit vector to another.

    .. math:: R = I + K + \frac{K^2}{1 + a \cdot b}

    with :math:`K` the cross-product matrix of :math:`a \times b`; not for opposite vectors.
    """
    cross = torch.outer(end, start) - torch.outer(start, end)
    return torch.eye(3, dtype=start.dtype) + cross + cross @ cross / (1 + start @ end)


def _fill_spine(turns: dict[str, Tensor]) -> None:
    """Spread the turn between two known spine joints evenly over the missing ones."""
    known = [name for name in _SPINE if name in turns]
    for low, high in pairwise(known):
        steps = _SPINE.index(high) - _SPINE.index(low)
        between = matrix_to_axis_angle(turns[low].mT @ turns[high])
        for step in range(1, steps):
            part = axis_angle_to_matrix(between * (step / steps))
            turns[_SPINE[_SPINE.index(low) + step]] = turns[low] @ part


def _relative(turns: dict[str, Tensor]) -> Tensor:
    """Turn world rotations by name to those relative to the parents ``[F, 24, 3, 3]``."""
    world: list[Tensor] = []
    for name, parent in zip(SMPL_JOINT_NAMES, SMPL_PARENTS, strict=True):
        # Toes and hands have no counterpart, and lie straight.
        world.append(turns[name] if name in turns else world[parent])
    relative = [
        turn if parent < 0 else world[parent].mT @ turn
        for turn, parent in zip(world, SMPL_PARENTS, strict=True)
    ]
    return torch.stack(relative, 1)
