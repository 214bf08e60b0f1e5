"""A detector with a memory, for the frames of one video."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bilayer_graph.detection.crops import crop_square
from bilayer_graph.detection.detector import DetectedPerson
from bilayer_graph.detection.movenet_detector import (
    UNSURE,
    MoveNetDetector,
    batched,
    is_person,
    without_duplicates,
)
from bilayer_graph.detection.suppress import joint_box, overlap, widened
from bilayer_graph.detection.turned import turned, turned_back

# Side of the crops that Thunder takes, and of a crop against the longer side of the joints' box:
# head, hands and feet are outside of that, and people move.
_CROP, _MARGIN = 256, 1.5
# Confidence of the joints that count.
_JOINT = 0.2
# Overlap of the boxes of two frames below which the look has drifted to somebody else.
_DRIFT = 0.2
# COCO's shoulders and hips.
_SHOULDERS, _HIPS = [5, 6], [11, 12]

Patches = Callable[[list[Tensor], Tensor], Tensor]
"""From Thunder's maps of B crops and keypoints ``[B, 17, 3]`` in crop coordinates to what a model
sees at these, ``[B, 17, C]``."""


@dataclass(frozen=True, eq=False)
class SeenPerson(DetectedPerson):
    """A person of whom the model need not look at the picture.

    Attributes:
        patches: What it sees at the keypoints, ``[17, C]``; ``None`` if it has to look.
    """

    patches: Tensor | None = None


class TrackedDetector:
    """A detector of the people of the frames of one video, given one after the other.

    Thunder looks once at everybody, where they were in the last frame, turned upright by quarters.
    The whole picture is searched now and then, for those who are new and those who are unsure: an
    error would be followed.

    Args:
        detector: What searches whole pictures, and whose network looks at people.
        patches: What a model whose encoder is Thunder sees in a look, which spares it a second.
        every: Frames from one search of the whole picture to the next.
        soon: The same while somebody is lost or unsure, or nobody is there.
    """

    def __init__(
        self,
        detector: MoveNetDetector,
        patches: Patches | None = None,
        every: int = 15,
        soon: int = 5,
    ) -> None:
        self.detector = detector
        self.patches = patches
        self.every = every
        self.soon = soon
        self._people: list[DetectedPerson] = []
        self._lost = True
        self._since = max(every, soon)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[DetectedPerson]:
        """Find the people in the next frame ``[3, H, W]``, float RGB in [0, 1]."""
        people = self._look(image)
        self._lost |= len(people) < len(self._people)
        self._since += 1
        in_doubt = self._lost or any(map(_is_unsure, people))
        if self._since >= (self.soon if in_doubt else self.every):
            people = self._search(image, people)
            self._lost, self._since = not people, 0
        self._people = without_duplicates(people)
        return self._people

    def _look(self, image: Tensor) -> list[DetectedPerson]:
        """Return those of the last frame who are seen in this one."""
        people: list[DetectedPerson] = []
        for chunk in batched(self._people, self.detector.batch_size):
            crops = [crop_square(image, widened(one.box, _MARGIN), _CROP) for one in chunk]
            quarters = [to_upright(one.keypoints) for one in chunk]
            views = [
                crop._replace(pixels=turned(crop.pixels, turn))
                for crop, turn in zip(crops, quarters, strict=True)
            ]
            looks, maps = self.detector.look(views)
            patches = self._patches(maps, looks, quarters)
            for one, crop, turn, look, seen in zip(
                chunk, crops, quarters, looks, patches, strict=True
            ):
                keypoints = crop.to_picture(turned_back(look, turn, _CROP, _CROP))
                box = joint_box(keypoints, _JOINT)
                drifted = float(overlap(one.box[None], box[None])) < _DRIFT
                if not drifted and is_person(look, look, uncertain=False):
                    people.append(SeenPerson(keypoints, box, one.score, one.uncertain, seen))
        return people

    def _patches(
        self, maps: list[Tensor], looks: Tensor, quarters: list[int]
    ) -> list[Tensor | None]:
        """Return what the model sees of each of some people, but of those who were turned."""
        if self.patches is None:
            return [None] * len(looks)
        points = torch.cat([2 * looks[..., :2] / _CROP - 1, looks[..., 2:]], dim=-1)
        patches = self.patches(maps, points.to(maps[0].device))
        return [None if turn else seen for turn, seen in zip(quarters, patches, strict=True)]

    def _search(self, image: Tensor, people: list[DetectedPerson]) -> list[DetectedPerson]:
        """Return the people of the whole picture, and those of ``people`` beyond doubt."""
        known = [one for one in people if is_person(one.keypoints, one.keypoints, uncertain=True)]
        # The unsure count half, so that what the search says of them wins.
        known = [replace(one, score=one.score / 2) if _is_unsure(one) else one for one in known]
        found = self.detector(image)
        # A guess is for a picture that shows nobody else.
        return [*known, *(one for one in found if not (known and one.uncertain))]


def to_upright(keypoints: Tensor) -> int:
    """Return the quarter turns, counter-clockwise, after which somebody's trunk points down."""
    trunk = keypoints[_SHOULDERS + _HIPS]
    if not bool((trunk[:, 2] >= _JOINT).all()):
        return 0
    x, y = (trunk[2:, :2].mean(0) - trunk[:2, :2].mean(0)).tolist()
    if abs(y) >= abs(x):
        return 0 if y >= 0 else 2
    return 1 if x < 0 else 3


def _is_unsure(person: DetectedPerson) -> bool:
    return float(person.keypoints[:, 2].mean()) < UNSURE
