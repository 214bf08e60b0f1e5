"""What a 2D detector gives: people with their joints, in pixels of the picture."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, eq=False)
class DetectedPerson:
    """One person in a picture.

    Pixel ``i`` covers ``[i, i + 1)``: a point at the centre of the upper left pixel is (0.5, 0.5).

    Attributes:
        keypoints: ``[17, 3]`` x, y in pixels, confidence in [0, 1], in the order of COCO.
        box: [4] x0, y0, x1, y1 in pixels, around the joints that are found.
        score: Confidence of the person, in [0, 1].
        uncertain: Whether the person is below the detector's threshold, and only given because
            nobody else was found.
    """

    keypoints: Tensor
    box: Tensor
    score: float
    uncertain: bool = False


class Detector(Protocol):
    """Anything that finds people: write a function or a class with this call to bring your own."""

    def __call__(self, image: Tensor) -> list[DetectedPerson]:
        """Find the people in a picture.

        Args:
            image: ``[3, H, W]`` float, RGB in [0, 1].

        Returns:
            The people, best first; none if there are none.
        """
        ...
