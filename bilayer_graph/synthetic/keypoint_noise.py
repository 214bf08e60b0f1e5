"""2D joints as a detector would find them: near, sometimes far, swapped, or not at all."""

from __future__ import annotations

import torch
from torch import Tensor

from bilayer_graph.body.joints import JOINT_NAMES, LEFT_RIGHT
from bilayer_graph.synthetic.draws import Draws

# Standard deviations of small and coarse errors, in units of the box around the person.
_SHARP, _COARSE = 0.0145, 0.075
_COVERED_FACTOR = 1.5
# For each joint: factor on its errors, share of coarse ones.
_JOINTS = {
    "ankle": (1.35, 0.12),
    "wrist": (1.45, 0.15),
    "knee": (1.0, 0.07),
    "elbow": (1.05, 0.09),
    "hip": (0.9, 0.06),
    "shoulder": (0.8, 0.05),
}
_SWAP_SHARE = 0.02  # of the arms, and of the legs
_MISSED_SHARE, _MISSED_OCCLUDED_SHARE, _MISSED_OUTSIDE_SHARE = 0.025, 0.15, 0.85
_LEGS = tuple(name.endswith(("ankle", "knee", "hip")) for name in JOINT_NAMES)


def detect_keypoints(draws: Draws, points: Tensor, visible: Tensor, box: Tensor) -> Tensor:
    """Add detector-like errors to true joints.

    Most errors are small; a share of them is coarse, larger at wrists and ankles and more common
    on joints that are covered. The arms or the legs swap sides now and then. Confidence falls with
    the error, but only loosely, as a detector's does.

    Args:
        draws: Random numbers of B samples.
        points: ``[B, 12, 2]`` true joints, crop coordinates.
        visible: ``[B, 12]`` whether the joint is seen.
        box: ``[B]`` longer side of the box around the person, crop units.

    Returns:
        ``[B, 12, 3]`` x, y in crop coordinates and confidence in (0, 1]; zeros where missed.
    """
    rows = [_JOINTS[name.split("_")[1]] for name in JOINT_NAMES]
    factor, coarse_share = torch.tensor(rows, device=points.device).unbind(-1)
    covered = torch.where(visible, 1.0, _COVERED_FACTOR)
    coarse = draws.uniform("coarse", 12) < coarse_share * covered
    spread = torch.where(coarse, _COARSE, _SHARP) * factor * covered
    error = draws.normal("error", 12, 2) * spread.unsqueeze(-1)
    found = _swap_sides(draws, points) + error * box.view(-1, 1, 1)
    # A detector that swaps sides does not know it: swaps leave the confidence as it is.
    confidence = 0.95 * torch.exp(-error.norm(dim=-1) / 0.12) * torch.where(visible, 1.0, 0.75)
    confidence = (confidence + 0.1 * draws.normal("confidence", 12)).clamp(0.05, 1.0)
    outside = (points.abs() > 1).any(-1)
    missed_share = torch.where(visible, _MISSED_SHARE, _MISSED_OCCLUDED_SHARE)
    missed_share = torch.where(outside, _MISSED_OUTSIDE_SHARE, missed_share)
    missed = draws.uniform("missed", 12) < missed_share
    # A detector sees nothing beyond the picture.
    found = found.clamp(-1, 1)
    detected = torch.cat([found, confidence.unsqueeze(-1)], dim=-1)
    return detected.masked_fill(missed.unsqueeze(-1), 0.0)


def _swap_sides(draws: Draws, points: Tensor) -> Tensor:
    swap = draws.chance("swap", _SWAP_SHARE, 2)
    legs = torch.tensor(_LEGS, device=points.device)
    swapped = torch.where(legs, swap[:, :1], swap[:, 1:])
    return torch.where(swapped.unsqueeze(-1), points[:, LEFT_RIGHT], points)
