"""A body model: shape and pose in, mesh and joints out, by linear blend skinning."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bilayer_graph.body.body_fields import check_fields, check_rows, is_level
from bilayer_graph.body.body_file import BUILTIN_BODY, SHAPE_COMPONENTS, read_body_file
from bilayer_graph.body.body_input import check_pose, check_vertices
from bilayer_graph.body.field_error import FieldError
from bilayer_graph.body.joints import (
    COCO_NAMES,
    COCO_TO_JOINTS,
    HUMAN,
    SMPL_JOINT_NAMES,
    Skeleton,
)
from bilayer_graph.body.skeleton_fields import unpack_skeleton
from bilayer_graph.errors import InputError


@dataclass(frozen=True)
class BodyOutput:
    """A posed body in camera axes, the pelvis joint at the origin.

    Attributes:
        vertices: ``[B, V, 3]``, metres.
        joints24: The skinning joints ``[B, K, 3]``, metres; SMPL has 24.
    """

    vertices: Tensor
    joints24: Tensor


class BodyModel(nn.Module):
    r"""Linear blend skinning with SMPL's fields (Loper et al., 2015).

    .. math::
        v = \sum_k w_k \, G_k(\theta, J(\beta)) \,
            (\bar v + B_S \beta + B_P \, \mathrm{vec}(R(\theta) - I))

    Computed in the precision of the buffers, under autocast too: half-precision rotations move
    the hands by centimetres.

    Args:
        arrays: Fields as :func:`~bilayer_graph.body.body_file.read_body_file` returns them, for
            any number K of skinning joints and up to 10 shape directions S. Without ``posedirs``
            the pose term is left out. Without ``keypoint_regressor`` the COCO keypoints are the
            skinning joints, and the five face points the head joint. A body that is no human has
            ``joint_regressor`` ``[J, V]`` instead, and its keypoints are those joints.
        skeleton: The joints of the skeleton graph.

    Shapes:
        - ``betas`` ``[B, S]``, or ``[1, S]`` for one shape in all poses; ``body_pose``
          ``[B, K - 1, 3, 3]``, ``global_orient`` ``[B, 3, 3]``
        - output: :class:`BodyOutput`

    Raises:
        InputError: If a field is missing, of a wrong shape or out of range; if the skeleton has
            another number of joints than ``joint_regressor``; if an input has another shape.
    """

    v_template: Tensor
    shapedirs: Tensor
    posedirs: Tensor | None
    J_regressor: Tensor
    weights: Tensor
    faces: Tensor
    keypoint_regressor: Tensor
    joint_regressor: Tensor
    ancestors: Tensor
    parents: tuple[int, ...]
    skeleton: Skeleton
    level_arrays: dict[str, Tensor]

    def __init__(self, arrays: Mapping[str, np.ndarray], skeleton: Skeleton = HUMAN) -> None:
        super().__init__()
        arrays = _checked(arrays, skeleton)
        posedirs = arrays.get("posedirs")
        keypoints, joints = _regressors(arrays)
        fixed = {
            "v_template": arrays["v_template"],
            "shapedirs": arrays["shapedirs"][..., :SHAPE_COMPONENTS],
            "posedirs": posedirs if posedirs is not None and posedirs.any() else None,
            "J_regressor": arrays["J_regressor"],
            "weights": arrays["weights"],
            "keypoint_regressor": keypoints,
            "joint_regressor": joints,
        }
        for name, array in fixed.items():
            tensor = None if array is None else torch.tensor(array, dtype=torch.float32)
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("faces", torch.tensor(arrays["f"]).long(), persistent=False)
        self.parents = tuple(int(parent) for parent in arrays["kintree_table"][0])
        self.register_buffer("ancestors", _ancestors(self.parents), persistent=False)
        self.skeleton = skeleton
        self.level_arrays = {
            name: torch.tensor(array, dtype=torch.float32 if array.dtype.kind == "f" else None)
            for name, array in arrays.items()
            if is_level(name)
        }

    @classmethod
    def load(cls, path: str | Path | None = None) -> "BodyModel":
        """Load the body model of a file, or the built-in body when ``path`` is ``None``.

        Raises:
            InputError: As :func:`~bilayer_graph.body.read_body_file`.
        """
        fields = read_body_file(BUILTIN_BODY if path is None else path)
        return cls(fields, unpack_skeleton(fields))

    def forward(self, betas: Tensor, body_pose: Tensor, global_orient: Tensor) -> BodyOutput:
        """Pose bodies; see the class for the shapes."""
        check_pose(betas, body_pose, global_orient, self.shapedirs, len(self.parents))
        with torch.autocast(self.v_template.device.type, enabled=False):
            betas, body_pose, global_orient = (
                tensor.to(self.v_template.dtype) for tensor in (betas, body_pose, global_orient)
            )
            shaped, rest_joints = self.rest(betas, body_pose)
            rotations = torch.cat([global_orient[:, None], body_pose], 1)
            turn, joints = self._move_joints(rotations, rest_joints)
            # A joint carries rest-pose points along by turning them about its rest position.
            shift = joints - (turn * rest_joints[..., None, :]).sum(-1)
            carried = torch.cat([turn, shift[..., None]], -1).permute(0, 2, 3, 1)
            blended = carried @ self.weights.mT
            vertices = (blended[:, :, :3] * shaped.mT[:, None]).sum(2) + blended[:, :, 3]
            root = joints[:, :1]
            return BodyOutput(vertices.mT - root, joints - root)

    def rest(self, betas: Tensor, body_pose: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bodies that skinning moves; see the class for the inputs.

        Returns:
            Vertices in rest pose with what the pose adds to them, ``[B, V, 3]`` (``[1, V, 3]`` for
            one shape of a body without ``posedirs``), and the joints of the rest pose,
            ``[B, K, 3]``; metres.
        """
        shaped = self.v_template + torch.einsum("vcs,bs->bvc", self.shapedirs, betas)
        # One shape is kept as one and only its joints are repeated.
        joints = (self.J_regressor @ shaped).expand(body_pose.size(0), -1, -1)
        if self.posedirs is not None:
            eye = torch.eye(3, dtype=betas.dtype, device=betas.device)
            pose = (body_pose - eye).flatten(1)
            shaped = shaped + torch.einsum("vcp,bp->bvc", self.posedirs, pose)
        return shaped, joints

    def joints(self, vertices: Tensor) -> Tensor:
        """Return the skeleton's joints ``[.., J, 3]`` of meshes ``[.., V, 3]``; a human has 12."""
        return self._regress(self.joint_regressor, vertices)

    def keypoints(self, vertices: Tensor) -> Tensor:
        """Return the keypoints of meshes ``[.., V, 3]``; a human has COCO's 17, ``[.., 17, 3]``."""
        return self._regress(self.keypoint_regressor, vertices)

    def _regress(self, regressor: Tensor, vertices: Tensor) -> Tensor:
        check_vertices(vertices, self.v_template)
        with torch.autocast(vertices.device.type, enabled=False):
            return regressor @ vertices.to(regressor.dtype)

    def _move_joints(self, rotations: Tensor, rest_joints: Tensor) -> tuple[Tensor, Tensor]:
        """Return world rotations ``[B, K, 3, 3]`` and positions ``[B, K, 3]`` of the joints."""
        origin = torch.zeros_like(rest_joints[:, :1])
        offsets = rest_joints - torch.cat([rest_joints, origin], 1)[:, self.ancestors[0, :-1]]
        world = torch.nn.functional.pad(
            torch.cat([rotations, offsets[..., None]], -1), (0, 0, 0, 1)
        )
        world[..., 3, 3] = 1
        nobody = torch.eye(4, dtype=world.dtype, device=world.device).expand(world.size(0), 1, 4, 4)
        world = torch.cat([world, nobody], 1)
        # Each step doubles the length of the path to the root that a transform covers.
        for ancestor in self.ancestors:
            world = world[:, ancestor] @ world
        return world[:, :-1, :3, :3], world[:, :-1, :3, 3]


def _ancestors(parents: tuple[int, ...]) -> Tensor:
    """Return in row i each joint's 2^i-th ancestor; joint K stands for "none" and is its own."""
    none = len(parents)
    row = torch.tensor([none if parent < 0 else parent for parent in parents] + [none])
    rows = []
    while (row != none).any():
        rows.append(row)
        row = row[row]
    return torch.stack(rows)


def _checked(arrays: Mapping[str, np.ndarray], skeleton: Skeleton) -> dict[str, np.ndarray]:
    try:
        if not isinstance(arrays, Mapping):
            raise FieldError("not a mapping from names to arrays")
        fields = check_fields(arrays)
        joints = len(_regressors(fields)[1])
        if joints != len(skeleton.names):
            problem = f"the body regresses {joints} joints"
            remedy = "Give the skeleton of this body"
            raise InputError("skeleton", f"{len(skeleton.names)} joints", problem, remedy)
        check_rows(fields)
        return fields
    except FieldError as error:
        remedy = error.remedy or "Give the fields that read_body_file returns"
        given = f"[{', '.join(map(str, arrays))}]" if isinstance(arrays, Mapping) else arrays
        raise InputError("arrays", given, str(error), remedy) from error


def _regressors(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return matrices from vertices to keypoints and to the skeleton's joints."""
    if "joint_regressor" in arrays:
        return arrays["joint_regressor"], arrays["joint_regressor"]
    keypoints = arrays.get("keypoint_regressor")
    if keypoints is None:
        keypoints = _keypoints_from_joints(arrays["J_regressor"])
    return keypoints, keypoints[list(COCO_TO_JOINTS)]


def _keypoints_from_joints(joint_regressor: np.ndarray) -> np.ndarray:
    names = [name if name in SMPL_JOINT_NAMES else "head" for name in COCO_NAMES]
    return joint_regressor[[SMPL_JOINT_NAMES.index(name) for name in names]]
