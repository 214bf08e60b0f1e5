"""How deep a pose pushes limbs into the body, on a skeleton of capsules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bilayer_graph.body.joints import SMPL_JOINT_NAMES

# Body parts that limbs must stay out of: two joints and a radius in metres.
_CAPSULES = (
    ("pelvis", "spine3", 0.11),
    ("spine3", "neck", 0.08),
    ("neck", "head", 0.07),
    ("left_hip", "left_knee", 0.06),
    ("left_knee", "left_ankle", 0.045),
    ("right_hip", "right_knee", 0.06),
    ("right_knee", "right_ankle", 0.045),
)
# Points on the limbs: two joints, the share of the way between them, and the limb's radius.
_PROBES = tuple(
    (f"{side}_{start}", f"{side}_{end}", share, radius)
    for side in ("left", "right")
    for start, end, share, radius in (
        ("elbow", "wrist", 0.0, 0.04),
        ("elbow", "wrist", 0.5, 0.035),
        ("elbow", "wrist", 1.0, 0.03),
        ("wrist", "hand", 1.3, 0.03),
        ("knee", "ankle", 0.0, 0.05),
        ("knee", "ankle", 0.5, 0.045),
        ("knee", "ankle", 1.0, 0.04),
        ("ankle", "foot", 1.0, 0.03),
    )
)


def penetration(body_pose: Tensor, rest_joints: Tensor, parents: tuple[int, ...]) -> Tensor:
    """Return the depth of the worst overlap between a limb and another body part.

    Args:
        body_pose: ``[B, 23, 3, 3]`` rotations relative to the parents.
        rest_joints: ``[24, 3]`` joints of the T-pose, metres.
        parents: The parent of each joint, -1 for the first.

    Returns:
        ``[B]`` metres, 0 when nothing touches.
    """
    joints = _pose_skeleton(body_pose, rest_joints, parents)
    first, second, share, thickness = _columns(_PROBES, joints)
    probes = joints[:, first] + share * (joints[:, second] - joints[:, first])
    start, end, radius = _columns(_CAPSULES, joints)
    gap = _segment_distance(probes, joints[:, start], joints[:, end])
    depth = thickness + radius.view(1, -1) - gap
    own_leg = torch.tensor(
        [[_same_leg(probe[0], capsule[0]) for capsule in _CAPSULES] for probe in _PROBES]
    )
    return depth.masked_fill(own_leg.to(depth.device), 0).flatten(1).amax(1).clamp_min(0)


def _pose_skeleton(pose: Tensor, rest: Tensor, parents: tuple[int, ...]) -> Tensor:
    """Return the joints ``[B, 24, 3]`` of the posed skeleton, the first one at rest."""
    offset = rest - rest[list(parents)]
    turns = [torch.eye(3, device=pose.device, dtype=pose.dtype).expand(len(pose), 3, 3)]
    places = [rest[0].expand(len(pose), 3)]
    for joint in range(1, len(parents)):
        turn = turns[parents[joint]]
        places.append(places[parents[joint]] + (turn * offset[joint]).sum(-1))
        # Written out: a batched product may round differently with the size of the batch.
        turns.append((turn.unsqueeze(-1) * pose[:, joint - 1].unsqueeze(-3)).sum(-2))
    return torch.stack(places, dim=1)


def _columns(rows: tuple[tuple[Any, ...], ...], like: Tensor) -> list[Tensor]:
    """Return the indices ``[N]`` of joint names, and numbers as columns ``[N, 1]``, by ``like``."""
    columns = []
    for column in zip(*rows, strict=True):
        if isinstance(column[0], str):
            indices = [SMPL_JOINT_NAMES.index(name) for name in column]
            columns.append(torch.tensor(indices, device=like.device))
        else:
            columns.append(torch.tensor(column, device=like.device, dtype=like.dtype)[:, None])
    return columns


def _same_leg(probe: str, capsule: str) -> bool:
    side, part = probe.split("_")
    return part in ("knee", "ankle") and capsule.startswith(side)


def _segment_distance(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return distances ``[B, P, C]`` of points ``[B, P, 3]`` from segments ``[B, C, 3]``."""
    along = (end - start).unsqueeze(1)
    away = points.unsqueeze(2) - start.unsqueeze(1)
    share = ((away * along).sum(-1) / along.square().sum(-1)).clamp(0, 1)
    distance: Tensor = (away - share.unsqueeze(-1) * along).norm(dim=-1)
    return distance
