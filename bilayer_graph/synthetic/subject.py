"""What synthetic pictures show: how it stands, how it looks, and how a detector sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from bilayer_graph.body import JOINT_NAMES, BodyModel
from bilayer_graph.render.rasterizer import Hits
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.keypoint_noise import detect_keypoints
from bilayer_graph.synthetic.people import Painter
from bilayer_graph.synthetic.poses import sample_poses
from bilayer_graph.synthetic.views import sample_orientations

_FLESH = {"hip": 0.22, "shoulder": 0.17, "knee": 0.14, "elbow": 0.12, "ankle": 0.13, "wrist": 0.1}


class Surface(Protocol):
    """What a body looks like; :class:`~bilayer_graph.synthetic.people.Painter` is one."""

    def dress(self, draws: Draws, vertices: Tensor) -> Tensor:
        """Return the posed skin ``[B, V, 3]`` moved out to what covers it."""

    def __call__(self, draws: Draws, vertices: Tensor, hits: Hits) -> Tensor:
        """Return lit colours ``[P, 3]`` of the covered pixels, RGB in [0, 1]."""


@dataclass(frozen=True)
class Subject:
    """A kind of body, as :class:`~bilayer_graph.synthetic.SyntheticBodies` draws it.

    Attributes:
        pose: From the random numbers of B samples to rotations of the joints relative to their
            parents, ``[B, K - 1, 3, 3]``, and from body to camera axes, ``[B, 3, 3]``.
        surface: What it looks like.
        detect: From random numbers, true joints ``[B, J, 2]`` in crop coordinates, whether each is
            seen ``[B, J]``, and the longer side of the box around the body ``[B]`` to joints as a
            detector finds them, ``[B, J, 3]``: x, y, confidence; zeros where missed.
        flesh: How deep in the body a joint that one sees may lie, ``[J]``, metres.
    """

    pose: Callable[[Draws], tuple[Tensor, Tensor]]
    surface: Surface
    detect: Callable[[Draws, Tensor, Tensor, Tensor], Tensor]
    flesh: Tensor


def person(body: BodyModel) -> Subject:
    """Return dressed people in everyday and in random poses."""
    flesh = [_FLESH[name.split("_")[1]] for name in JOINT_NAMES]
    rest_joints = body.J_regressor @ body.v_template
    return Subject(
        pose=partial(_pose_person, rest_joints=rest_joints, parents=body.parents),
        surface=Painter(body),
        detect=detect_keypoints,
        flesh=torch.tensor(flesh, device=body.v_template.device),
    )


def _pose_person(
    draws: Draws, rest_joints: Tensor, parents: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    return sample_poses(draws, rest_joints, parents), sample_orientations(draws)
