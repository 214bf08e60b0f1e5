"""2D keypoints as a detector finds them: near, far, on the other side, guessed or missed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.body import COCO_LEFT_RIGHT, COCO_NAMES, COCO_TO_JOINTS
from bilayer_graph.synthetic.draws import Draws

LIMBS = list(COCO_TO_JOINTS)
"""Places of the limb joints among COCO's keypoints."""
# Factor on the errors of each kind of keypoint.
_FACTORS = {"ankle": 1.25, "wrist": 1.4, "knee": 1.0, "elbow": 1.1, "hip": 1.0, "shoulder": 0.8}
_FACE_FACTOR = 0.6
_KINDS = [name.split("_")[-1] for name in COCO_NAMES]
_FACTOR = torch.tensor([_FACTORS.get(kind, _FACE_FACTOR) for kind in _KINDS])
_FACE = torch.tensor([kind not in _FACTORS for kind in _KINDS])
_LEGS = torch.tensor([kind in ("ankle", "knee", "hip") for kind in _KINDS])

# Shares of people behind something, and at the end of the picture.
_OCCLUDED_SHARE, _TRUNCATED_SHARE = 0.25, 0.12
_CLEAN_SHARE = 0.15
# Detectors of the limbs alone.
_FACELESS_SHARE = 0.1
# Errors over the box around the person: coarse and wild ones grow more common with the difficulty.
_COARSE, _WILD = 0.065, 0.2
_FEWEST = 4
MIN_CONFIDENCE = 0.2
"""Below this confidence a keypoint is a guess: no part of the crop."""


class Detections(NamedTuple):
    """What a detector says of B people.

    Attributes:
        points: ``[B, 17, 2]``, in the unit of the true keypoints.
        confidence: ``[B, 17]``, in [0, 1]; 0 where nothing was found.
        hidden: Which keypoints something covers or the picture cuts off, ``[B, 17]``.
    """

    points: Tensor
    confidence: Tensor
    hidden: Tensor


def detect(draws: Draws, points: Tensor, facing: Tensor) -> Detections:
    """Add a detector's errors to true keypoints.

    A difficulty a picture says how common coarse and wild errors and swapped sides are. Confidence
    falls with the error, on a scale of its own in each picture. People with fewer than four
    confident limb joints are left as they are: a detector would not have found them.

    Args:
        draws: Random numbers of B samples.
        points: True keypoints in COCO's order, any unit, ``[B, 17, 2]``.
        facing: Which keypoints the head does not hide, ``[B, 17]``: what is off the face is True.
    """
    low, high = points[:, LIMBS].amin(1), points[:, LIMBS].amax(1)
    box = 1.15 * (high - low).amax(1)
    hard = draws.uniform("difficulty") ** 1.5
    covered = _cover(draws, points, box)
    edge = _Edge.sample(draws, points, box)
    spread = _spread(draws, hard, covered, edge.cuts, facing)
    error = spread.unsqueeze(-1) * draws.normal("error", 17, 2) * box.view(-1, 1, 1)
    found = edge.clip(draws, _swap_sides(draws, points, hard) + error, box)
    confidence = _confidence(draws, error.norm(dim=-1) / box.unsqueeze(1), covered)
    confidence = torch.where(edge.cuts | ~facing, 0.4 * confidence, confidence)
    hidden = covered | edge.cuts | ~facing
    missed = draws.uniform("missed", 17) < _missed_share(covered, edge.cuts, facing)
    clean = draws.chance("clean", _CLEAN_SHARE, 1)
    found = torch.where(clean.unsqueeze(-1), points, found)
    confidence = torch.where(clean, 1.0, confidence)
    missed = torch.where(clean, edge.cuts | ~facing, missed)
    missed = missed | (_FACE & draws.chance("no face", _FACELESS_SHARE, 1))
    confidence = torch.where(missed, 0.0, confidence)
    return keep_findable(points, Detections(found, confidence, hidden))


def keep_findable(points: Tensor, detections: Detections) -> Detections:
    """Give people with fewer than four confident limb joints their true limbs ``[B, 17, 2]``."""
    confident = detections.confidence[:, LIMBS] >= MIN_CONFIDENCE
    lost = confident.sum(1, keepdim=True) < _FEWEST
    found = torch.where(lost.unsqueeze(-1), points, detections.points)
    confidence = torch.where(lost, (~_FACE).float(), detections.confidence)
    return Detections(found, confidence, detections.hidden)


def perfect(points: Tensor, facing: Tensor) -> Detections:
    """Return the true keypoints ``[B, 17, 2]`` but for those of the face that the head hides."""
    return Detections(points, facing.to(points.dtype), ~facing)


def crop_box(detections: Detections) -> tuple[Tensor, Tensor]:
    """Return the square around the confident limb joints: centre ``[B, 2]`` and side ``[B]``.

    1.4 times as wide as their longer extent, as :func:`bilayer_graph.pictures.keypoints_box`.
    """
    hidden = (detections.confidence[:, LIMBS] < MIN_CONFIDENCE).unsqueeze(-1)
    points = detections.points[:, LIMBS]
    low = points.masked_fill(hidden, torch.inf).amin(1)
    high = points.masked_fill(hidden, -torch.inf).amax(1)
    return (low + high) / 2, 1.4 * (high - low).amax(1).clamp_min(1e-3)


class _Edge(NamedTuple):
    """An edge of the picture across B people; ``axis`` and ``sign`` say which edge."""

    axis: Tensor
    sign: Tensor
    place: Tensor
    cuts: Tensor

    @classmethod
    def sample(cls, draws: Draws, points: Tensor, box: Tensor) -> _Edge:
        count = torch.arange(len(points))
        axis = draws.chance("edge below or above", 0.6).long()
        sign = torch.where(draws.chance("far edge", 0.75), 1.0, -1.0)
        along = points[count, :, axis]
        limbs = along[:, LIMBS]
        end = torch.where(sign > 0, limbs.amax(1), limbs.amin(1))
        place = end - sign * box * draws.uniform("cut off", low=0.02, high=0.42)
        cuts = (along - place.unsqueeze(1)) * sign.unsqueeze(1) > 0
        cuts = cuts & draws.chance("truncated", _TRUNCATED_SHARE, 1)
        # Enough of the person stays inside.
        cuts = cuts & ((~cuts[:, LIMBS]).sum(1, keepdim=True) > _FEWEST)
        return cls(axis, sign, place, cuts)

    def clip(self, draws: Draws, points: Tensor, box: Tensor) -> Tensor:
        """Move points that are cut off to where a detector guesses them: just inside the edge."""
        inside = draws.uniform("guess", 17, high=0.06) * (box * self.sign).unsqueeze(1)
        guess = (self.place.unsqueeze(1) - inside).unsqueeze(-1).expand_as(points)
        here = torch.arange(2) == self.axis.unsqueeze(1)
        return torch.where(self.cuts.unsqueeze(-1) & here.unsqueeze(1), guess, points)


def _cover(draws: Draws, points: Tensor, box: Tensor) -> Tensor:
    """Return which keypoints a rectangle in front of the person covers, ``[B, 17]``."""
    size = box.unsqueeze(1) * draws.uniform("occluder", 2, low=0.2, high=0.6)
    limb = torch.tensor(LIMBS)[draws.integer("covered joint", len(LIMBS))]
    centre = points[torch.arange(len(points)), limb]
    centre = centre + 0.08 * draws.normal("occluder place", 2) * box.unsqueeze(1)
    inside = ((points - centre.unsqueeze(1)).abs() < size.unsqueeze(1) / 2).all(-1)
    return inside & draws.chance("occluded", _OCCLUDED_SHARE, 1)


def _spread(draws: Draws, hard: Tensor, covered: Tensor, cut: Tensor, facing: Tensor) -> Tensor:
    """Return the standard deviations of the errors over the box, ``[B, 17]``."""
    hard = hard.unsqueeze(1)
    more = torch.where(covered | cut | ~facing, 2.5, 1.0)
    unit = draws.uniform("kind of error", 17)
    coarse = unit < (0.03 + 0.24 * hard) * _FACTOR * more
    wild = unit < 0.12 * hard**2 * _FACTOR * more
    sharp = (0.007 + 0.013 * hard) * _FACTOR * torch.where(covered | ~facing, 1.5, 1.0)
    return torch.where(wild, _WILD, torch.where(coarse, _COARSE, sharp))


def _swap_sides(draws: Draws, points: Tensor, hard: Tensor) -> Tensor:
    """Exchange left and right of the arms and face, of the legs, or of everything."""
    hard = hard.unsqueeze(1)
    part = draws.uniform("swap", 2) < 0.045 * hard
    whole = draws.uniform("swap all", 1) < 0.03 * hard
    swapped = torch.where(_LEGS, part[:, :1], part[:, 1:]) | whole
    return torch.where(swapped.unsqueeze(-1), points[:, COCO_LEFT_RIGHT], points)


def _confidence(draws: Draws, error: Tensor, covered: Tensor) -> Tensor:
    value = 0.9 * torch.exp(-error / 0.15) * torch.where(covered, 0.7, 1.0)
    value = value + 0.12 * draws.normal("confidence", 17)
    return (value * draws.uniform("scale of confidence", 1, low=0.5)).clamp(0.03, 1.0)


def _missed_share(covered: Tensor, cut: Tensor, facing: Tensor) -> Tensor:
    share = torch.where(covered, 0.15, 0.02)
    share = torch.where(facing, share, 0.4)
    return torch.where(cut, 0.8, share)
