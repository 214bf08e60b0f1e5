"""Errors of a real detector, measured on pictures and drawn again for people in like poses."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from bilayer_graph.body import COCO_NAMES
from bilayer_graph.body.mirror import COCO_LEFT_RIGHT, mirror_keypoints
from bilayer_graph.errors import InputError
from bilayer_graph.synthetic.detections import LIMBS, Detections, keep_findable
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.kept_tensors import KeptTensors

# A draw is the nearest entry of a random one of so many parts: on average one of the 8 nearest.
_PARTS = 8
# A hidden eye weighs as much as a joint that is this far away, in boxes.
_FACING_WEIGHT = 0.1
# Found at the other side's place: at most so far from it, and much nearer than to its own.
_SWAP_REACH, _SWAP_SHARE, _SWAP_LEAST = 0.08, 0.4, 0.08
# With a larger mean error of the visible joints, in boxes, somebody else was found.
_SOMEBODY_ELSE = 0.5
_OTHER_SIDE = list(COCO_LEFT_RIGHT)
_KEPT = KeptTensors(
    "noise bank",
    "file of a detector's errors",
    {"points": (17, 2), "errors": (17, 2), "scores": (17,), "flags": (17,)},
    marks="flags",
)
_REMEDY = "Make the file with tools/picture_features.py"


class Observations(NamedTuple):
    """What a detector made of N pictures, in units of the box around the true limb joints.

    Attributes:
        points: True keypoints from the box's centre, ``[N, 17, 2]``.
        errors: Found minus true place, ``[N, 17, 2]``. For ``swapped`` keypoints the true place is
            that of the other side.
        scores: The detector's, in [0, 1], ``[N, 17]``; all 0 where nobody was found.
        hidden: Behind something, another part of the body, or outside of the picture, ``[N, 17]``.
        facing: Not hidden by the head, ``[N, 17]``.
        swapped: Found at the place of the other side, ``[N, 17]``.
    """

    points: Tensor
    errors: Tensor
    scores: Tensor
    hidden: Tensor
    facing: Tensor
    swapped: Tensor


def observe(points: Tensor, found: Tensor, visible: Tensor, facing: Tensor) -> Observations:
    """Measure a detector's errors.

    Args:
        points: True keypoints, any unit, ``[N, 17, 2]``.
        found: Keypoints and scores ``[N, 17, 3]``; scores of 0 where nobody was found.
        visible: Which keypoints are seen in the picture, ``[N, 17]``.
        facing: Which keypoints the head does not hide, ``[N, 17]``.
    """
    centre, side = limb_box(points)
    unit = side.view(-1, 1, 1)
    relative = (points - centre.unsqueeze(1)) / unit
    errors = (found[..., :2] - points) / unit
    scores = found[..., 2]
    swapped = _swapped(relative, errors)
    other = relative - relative[:, _OTHER_SIDE]
    errors = torch.where(swapped.unsqueeze(-1), errors + other, errors)
    length = errors.norm(dim=-1).nan_to_num(torch.inf)
    mean = (length * visible).nan_to_num(0.0).sum(1) / visible.sum(1).clamp_min(1)
    missed = ((mean > _SOMEBODY_ELSE) | (scores <= 0).all(1)).unsqueeze(1)
    errors = errors.masked_fill(missed.unsqueeze(-1), 0)
    scores = scores.masked_fill(missed, 0)
    return Observations(relative, errors, scores, ~visible, facing, swapped & ~missed)


class NoiseBank:
    """A bank of a detector's errors for true keypoints, from pictures of people in like poses.

    Args:
        observations: What the detector made of the pictures; those where nobody was found are left
            out. Each counts for its mirror image, too.

    Raises:
        InputError: If nobody was found in eight or more pictures.
    """

    def __init__(self, observations: Observations) -> None:
        found = (observations.scores > 0).any(1)
        if found.sum() < _PARTS:
            problem = f"somebody found in {int(found.sum())} pictures, at the least {_PARTS}"
            raise InputError("observations", len(found), problem, _REMEDY)
        kept = Observations(*(part[found] for part in observations))
        pairs = zip(kept, _mirrored(kept), strict=True)
        self.entries = Observations(*(torch.cat(pair) for pair in pairs))
        features = _features(self.entries.points, self.entries.facing)
        # Every eighth entry is a part. The nearest b has the largest a b - |b|^2 / 2.
        half = 0.5 * features.square().sum(1, keepdim=True)
        self._parts = [torch.cat([features, half], dim=1)[part::_PARTS] for part in range(_PARTS)]

    def __len__(self) -> int:
        return len(self.entries.points)

    @classmethod
    def load(cls, path: str | Path) -> NoiseBank:
        """Read a file that ``tools/picture_features.py`` made.

        Raises:
            InputError: If there is no such file, or it is of another kind.
        """
        return cls(read_observations(path))

    def nearest(self, draws: Draws, points: Tensor, facing: Tensor) -> Tensor:
        """Return an entry ``[B]`` for each person: the nearest one of a random eighth of them."""
        centre, side = limb_box(points)
        relative = (points - centre.unsqueeze(1)) / side.view(-1, 1, 1)
        query = torch.nn.functional.pad(_features(relative, facing), (0, 1), value=-1.0)
        part = draws.integer("part of the bank", _PARTS)
        entry = torch.zeros_like(part)
        for number, entries in enumerate(self._parts):
            rows = (part == number).nonzero().squeeze(1)
            if len(rows):
                nearest = (query[rows] @ entries.t()).argmax(1)
                entry[rows] = _PARTS * nearest + number
        return entry

    def detect(self, draws: Draws, points: Tensor, facing: Tensor) -> Detections:
        """Add errors to true keypoints, and give them the scores.

        Args:
            draws: Random numbers of B samples.
            points: True keypoints in COCO's order, any unit, ``[B, 17, 2]``.
            facing: Which keypoints the head does not hide, ``[B, 17]``.
        """
        entry = self.nearest(draws, points, facing)
        drawn = Observations(*(part[entry] for part in self.entries))
        _, side = limb_box(points)
        swapped = drawn.swapped.unsqueeze(-1)
        true = torch.where(swapped, points[:, _OTHER_SIDE], points)
        found = true + drawn.errors * side.view(-1, 1, 1)
        return keep_findable(points, Detections(found, drawn.scores, drawn.hidden | ~facing))


def limb_box(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centre ``[B, 2]`` and longer side ``[B]`` of the box around the limb joints."""
    low, high = points[:, LIMBS].amin(1), points[:, LIMBS].amax(1)
    return (low + high) / 2, (high - low).amax(1).clamp_min(1e-6)


def write_observations(path: str | Path, observations: Observations) -> None:
    """Write a file of 187 bytes a picture: half precision, flags as bits of a byte."""
    flags = sum(flag.byte() << bit for bit, flag in enumerate(observations[3:]))
    points, errors, scores = (part.half() for part in observations[:3])
    tensors = {
        "points": points,
        "errors": errors,
        "scores": scores,
        "flags": torch.as_tensor(flags),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def read_observations(path: str | Path) -> Observations:
    """Read what :func:`write_observations` wrote.

    Raises:
        InputError: If there is no such file, it is of another kind, or a value is not finite.
    """
    read = _KEPT.read(path)
    flags = [(read["flags"] >> bit) & 1 > 0 for bit in range(3)]
    points, errors, scores = (read[name].float() for name in ("points", "errors", "scores"))
    return Observations(points, errors, scores, *flags)


def _swapped(points: Tensor, errors: Tensor) -> Tensor:
    """Return which keypoints ``[N, 17]`` were found at the other side's true place."""
    other = points[:, _OTHER_SIDE] - points
    apart, own = other.norm(dim=-1), errors.norm(dim=-1)
    theirs = (errors - other).norm(dim=-1)
    swapped: Tensor = (apart > _SWAP_LEAST) & (theirs < _SWAP_REACH) & (theirs < _SWAP_SHARE * own)
    return swapped


def _mirrored(seen: Observations) -> Observations:
    sides = Observations(*(part[:, _OTHER_SIDE] for part in seen))
    points, errors = mirror_keypoints(seen.points), mirror_keypoints(seen.errors)
    return sides._replace(points=points, errors=errors)


def _features(points: Tensor, facing: Tensor) -> Tensor:
    """Return what poses are compared by: limbs and nose, and which eyes and ears are seen."""
    face = [place for place in range(len(COCO_NAMES)) if place not in LIMBS]
    seen = _FACING_WEIGHT * facing[:, face].to(points.dtype)
    return torch.cat([points[:, [*LIMBS, 0]].flatten(1), seen], dim=1)
