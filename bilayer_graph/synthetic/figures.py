"""Posed bodies before a camera: shape, pose and orientation of people."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.body.joints import COCO_NAMES, SMPL_JOINT_NAMES
from bilayer_graph.body.reduced import PlacedBones, ReducedBody
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.pose_bank import PoseBank
from bilayer_graph.synthetic.viewpoints import sample_cameras, sample_orientations

_SHAPE_LIMIT = 2.5
_HEAD = SMPL_JOINT_NAMES.index("head")
_FACE = COCO_NAMES.index("left_shoulder")


class Figures(NamedTuple):
    """B people in camera axes, the pelvis at the origin.

    Attributes:
        betas: Shape coefficients, ``[B, S]``.
        bones: Where their bones are.
        camera: Rotations from the y-up world to camera axes, ``[B, 3, 3]``.
        posture: Whose pose is one of the sampler's everyday postures, ``[B]``.
    """

    betas: Tensor
    bones: PlacedBones
    camera: Tensor
    posture: Tensor

    @property
    def up(self) -> Tensor:
        """Against gravity, in camera axes, ``[B, 3]``."""
        return self.camera[..., 1]


def sample_figures(draws: Draws, poses: PoseBank, body: ReducedBody) -> Figures:
    """Draw people: shape, pose, orientation, and the camera's heading, pitch and roll."""
    betas = draws.normal("betas", body.num_betas).clamp(-_SHAPE_LIMIT, _SHAPE_LIMIT)
    pose, posture = poses.sample(draws)
    camera = sample_cameras(draws)
    root = camera @ sample_orientations(draws, pose[:, 0], posture)
    pose = torch.cat([root.unsqueeze(1), pose[:, 1:]], dim=1)
    return Figures(betas, body.place(body.absolute(pose), betas), camera, posture)


def facing(turn: Tensor) -> Tensor:
    """Return which keypoints the head does not hide from the camera, ``[B, 17]``.

    Args:
        turn: Rotations of the bones in camera axes, ``[B, 24, 3, 3]``.
    """
    # Depth of the head's left and front axes: negative towards the camera.
    left, front = turn[:, _HEAD, 2, 0], turn[:, _HEAD, 2, 2]
    seen = torch.ones(len(turn), len(COCO_NAMES), dtype=torch.bool)
    for place, name in enumerate(COCO_NAMES[:_FACE]):
        side = {"left": left, "right": -left}.get(name.split("_")[0], torch.zeros_like(left))
        if name.endswith("ear"):
            seen[:, place] = side + 0.3 * front < 0.3
        else:
            seen[:, place] = front + 0.3 * side < 0.2
    return seen
