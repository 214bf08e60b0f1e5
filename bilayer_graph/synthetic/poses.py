"""Body poses: everyday and random ones, within the ranges of motion, limbs kept apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bilayer_graph.synthetic.anatomy import (
    BODY_JOINTS,
    joint_limits,
    mirror_pose,
    mirror_right,
    to_matrices,
)
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.everyday_poses import ARMS, STANCES, Range
from bilayer_graph.synthetic.self_contact import penetration

# Candidates a sample: the first whose limbs stay out of the body is taken, else the least bad one.
_TRIES = 4
_TOLERANCE = 0.02  # metres
_JITTER = {"neck": 10.0, "head": 10.0, "spine": 5.0, "wrist": 12.0, "foot": 6.0}  # degrees
_OTHER_JITTER = 4.0
_INDEX = {name: place for place, name in enumerate(BODY_JOINTS)}
_SIDES = ("left", "right")


def sample_poses(draws: Draws, rest_joints: Tensor, parents: tuple[int, ...]) -> Tensor:
    """Draw one body pose a sample.

    Args:
        draws: Random numbers of B samples.
        rest_joints: ``[24, 3]`` joints of the body in its T-pose, metres.
        parents: The parent of each of the 24 joints, -1 for the first.

    Returns:
        ``[B, 23, 3, 3]`` rotations of the joints relative to their parents.
    """
    poses = to_matrices(sample_angles(draws, _TRIES))
    depth = penetration(poses.flatten(0, 1), rest_joints, parents).view(-1, _TRIES)
    # Whole centimetres above the tolerance; at a tie the earliest candidate.
    cost = ((depth - _TOLERANCE).clamp_min(0) * 100).ceil() * _TRIES
    best = (cost + torch.arange(_TRIES, device=cost.device)).argmin(dim=1)
    return poses[torch.arange(len(poses), device=best.device), best]


def sample_angles(draws: Draws, tries: int) -> Tensor:
    """Draw joint angles of ``tries`` candidates a sample, inside the ranges of motion.

    Args:
        draws: Random numbers of B samples.
        tries: Candidates a sample.

    Returns:
        ``[B, tries, 23, 3]`` radians, in the convention of ``to_matrices``.
    """
    angles = draws.normal("jitter", tries, len(BODY_JOINTS), 3) * _jitter(draws.device)
    _add_legs(angles, draws, tries)
    _add_arms(angles, draws, tries)
    angles = mirror_right(angles)
    mirrored = draws.chance("mirror", 0.5, tries, 1, 1)
    angles = torch.where(mirrored, mirror_pose(angles), angles)
    low, high = joint_limits().to(angles)
    return torch.minimum(torch.maximum(angles, low), high)


def _jitter(device: torch.device) -> Tensor:
    """Return standard deviations ``[23, 1]`` in radians."""
    kinds = [name.split("_")[-1].rstrip("123") for name in BODY_JOINTS]
    degrees = [_JITTER.get(kind, _OTHER_JITTER) for kind in kinds]
    return torch.tensor(degrees, device=device).deg2rad().unsqueeze(-1)


def _add_legs(angles: Tensor, draws: Draws, tries: int) -> None:
    """Add the legs and trunk of everyday stances; both sides written as a left side."""
    rows = [(*s.first, *(s.second or s.first), s.bend) for s in STANCES.values()]
    stance = draws.weighted("stance", [s.weight for s in STANCES.values()], tries)
    drawn = _between(draws.uniform("legs", tries, len(rows[0])), rows, stance)
    for place, side in enumerate(_SIDES):
        hip, spread, outwards, knee, toes = drawn[..., place * 5 : place * 5 + 5].unbind(-1)
        _turn(angles, f"{side}_hip", x=-hip, y=outwards, z=spread)
        _turn(angles, f"{side}_knee", x=knee)
        _turn(angles, f"{side}_ankle", x=toes)
    for name in ("spine1", "spine2", "spine3"):
        _turn(angles, name, x=drawn[..., -1] / 3)


def _add_arms(angles: Tensor, draws: Draws, tries: int) -> None:
    """Add everyday arms, the same for both sides in 3 of 5 poses; written as left sides."""
    rows = [pose[1:] for pose in ARMS.values()]
    weights = [pose.weight for pose in ARMS.values()]
    left, right = (
        draws.weighted("left arm", weights, tries),
        draws.weighted("right", weights, tries),
    )
    right = torch.where(draws.chance("same arms", 0.6, tries), left, right)
    for side, chosen in zip(_SIDES, (left, right), strict=True):
        drawn = _between(draws.uniform(f"{side} arm angles", tries, 4), rows, chosen)
        twist, swing, elevation, elbow = drawn.unbind(-1)
        # A hanging arm that swings would turn about itself; the twist takes that back.
        twist = twist + swing * elevation.sin()
        _turn(angles, f"{side}_shoulder", x=twist, y=-swing, z=elevation)
        _turn(angles, f"{side}_elbow", y=-elbow)
        # The shoulder girdle follows an arm that rises.
        _turn(angles, f"{side}_collar", z=0.12 * (elevation + math.radians(70)).clamp_min(0))


def _between(unit: Tensor, rows: Sequence[Sequence[Range]], chosen: Tensor) -> Tensor:
    """Map uniform draws ``[.., K]`` into K ranges (degrees) of the chosen rows, in radians."""
    low, high = torch.tensor(rows, device=unit.device).deg2rad().unbind(-1)
    return low[chosen] + unit * (high - low)[chosen]


def _turn(
    angles: Tensor,
    joint: str,
    x: Tensor | float = 0.0,
    y: Tensor | float = 0.0,
    z: Tensor | float = 0.0,
) -> None:
    place = angles[..., _INDEX[joint], :]
    for axis, angle in enumerate((x, y, z)):
        place[..., axis] += angle
