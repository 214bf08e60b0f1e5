"""Poses to draw from: real motion, recombined halves of it, and everyday postures."""

from __future__ import annotations

import torch
from torch import Tensor

from bilayer_graph.body import BodyModel, axis_angle_to_matrix, mirror_rotations
from bilayer_graph.body.joints import SMPL_JOINT_NAMES
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.poses import sample_poses

# Shares of real poses, of recombined ones and of the sampler's, where real poses are given.
SHARES = (0.45, 0.2, 0.35)
_POSTURES = 30_000
_BLOCK = 500
# Small turns of every joint, in radians; one of these a sample, in 7 of 10 samples.
_JITTER = (0.03, 0.07, 0.14)
_JITTER_SHARE = 0.7
_POSTURE_JITTER = 0.05

_LOWER = [
    joint
    for joint, name in enumerate(SMPL_JOINT_NAMES)
    if name.split("_")[-1] in ("hip", "knee", "ankle", "foot")
]


class PoseBank:
    """A bank of poses of the built-in skeleton: relative rotations, the root in a y-up world.

    Args:
        body: The body whose limbs are kept apart in the sampler's postures.
        motion: Real poses ``[N, 24, 3, 3]``, relative rotations, root first, y up and facing +z
            where the root is the identity; ``None`` for the sampler's alone.
        seed: Seed of the postures.
        postures: Number of the sampler's postures, drawn once.
    """

    def __init__(
        self,
        body: BodyModel,
        motion: Tensor | None = None,
        seed: int = 0,
        postures: int = _POSTURES,
    ) -> None:
        rest = body.J_regressor @ body.v_template
        self.postures = torch.cat(
            [
                sample_poses(Draws(seed, block), rest, body.parents)
                for block in torch.arange(postures).split(_BLOCK)
            ]
        )
        self.motion = motion

    def sample(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return rotations ``[B, 24, 3, 3]``, and which of them are postures of the sampler."""
        count = len(draws)
        upright = torch.eye(3).expand(count, 1, 3, 3)
        own = self.postures[draws.integer("posture", len(self.postures))]
        own = torch.cat([upright, own], dim=1)
        kind = draws.weighted("kind of pose", list(SHARES))
        if self.motion is None:
            kind = torch.full_like(kind, 2)
            pose = own
        else:
            pose = self._real(draws, own, kind)
        mirrored = draws.chance("mirrored pose", 0.5, 1, 1, 1)
        pose = torch.where(mirrored, mirror_rotations(pose), pose)
        return pose @ _jitter(draws, kind == 2), kind == 2

    def _real(self, draws: Draws, own: Tensor, kind: Tensor) -> Tensor:
        """Draw real poses, recombined ones where ``kind`` is 1, postures where it is 2."""
        assert self.motion is not None
        first, second = draws.integer("real pose", len(self.motion), 2).unbind(1)
        real = self.motion[first]
        # Legs and root of one pose, trunk and arms of another, or of a posture.
        recombined = torch.where(draws.chance("other half", 0.5, 1, 1, 1), self.motion[second], own)
        recombined[:, [0, *_LOWER]] = real[:, [0, *_LOWER]]
        kind = kind.view(-1, 1, 1, 1)
        return torch.where(kind == 0, real, torch.where(kind == 1, recombined, own))


def _jitter(draws: Draws, posture: Tensor) -> Tensor:
    """Draw small rotations ``[B, 24, 3, 3]`` of every joint but the root."""
    amount = torch.tensor(_JITTER)[draws.integer("jitter", len(_JITTER))]
    amount = amount * draws.chance("jittered", _JITTER_SHARE)
    amount = torch.where(posture, amount.clamp_max(_POSTURE_JITTER), amount)
    vector = draws.normal("turns", 24, 3) * amount.view(-1, 1, 1)
    vector[:, 0] = 0
    return axis_angle_to_matrix(vector)
