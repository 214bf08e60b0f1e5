"""A detector with a memory, for the frames of one video."""

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

# Side of the crops that Thunder takes, and of a crop against the longer side of the joints' box:
# head, hands and feet are outside of that, and people move.
_CROP, _MARGIN = 256, 1.5
# Confidence of the joints that a box goes around.
_JOINT = 0.2
# Overlap of the boxes of two frames below which the look has drifted to somebody else.
_DRIFT = 0.2


class TrackedDetector:
    """A detector of the people of the frames of one video, given one after the other.

    Thunder looks at everybody where they were in the last frame. The whole picture is searched
    every few frames, and whenever somebody is lost or nobody is there.

    Args:
        detector: What searches whole pictures, and whose network looks at people.
        every: Frames between two searches of the whole picture.

    Attributes:
        people: Those of the last frame.
        wait: Frames until the whole picture is searched again.
    """

    def __init__(self, detector: MoveNetDetector, every: int = 15) -> None:
        self.detector = detector
        self.every = every
        self.people: list[DetectedPerson] = []
        self.wait = 0

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[DetectedPerson]:
        """Find the people in the next frame ``[3, H, W]``, float RGB in [0, 1]."""
        people = self._look(image)
        self.wait -= 1
        if self.wait < 0 or not people or len(people) < len(self.people):
            people = self._search(image, people)
            self.wait = self.every
        self.people = without_duplicates(people)
        return self.people

    def _look(self, image: Tensor) -> list[DetectedPerson]:
        """Return those of the last frame who are seen in this one."""
        people: list[DetectedPerson] = []
        for chunk in batched(self.people, self.detector.batch_size):
            crops = [crop_square(image, widened(one.box, _MARGIN), _CROP) for one in chunk]
            for one, crop, seen in zip(chunk, crops, self.detector.look(crops), strict=True):
                keypoints = crop.to_picture(seen)
                box = joint_box(keypoints, _JOINT)
                drifted = float(overlap(one.box[None], box[None])) < _DRIFT
                # Whoever is unsure is looked for anew: an error would be followed.
                if not drifted and float(seen[:, 2].mean()) >= UNSURE:
                    people.append(DetectedPerson(keypoints, box, one.score, one.uncertain))
        return people

    def _search(self, image: Tensor, people: list[DetectedPerson]) -> list[DetectedPerson]:
        """Return the people of the whole picture, and those of ``people`` that are beyond doubt."""
        sure = [one for one in people if is_person(one.keypoints, one.keypoints, True)]
        found = self.detector(image)
        # A guess is for a picture that shows nobody else.
        return [*sure, *(one for one in found if not (sure and one.uncertain))]
