"""Who of a frame is who of the frames before: the nearest keypoints."""

import math
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from bilayer_graph.pictures.box import MIN_CONFIDENCE, visible_extent

# Mean distance of the keypoints, over the person's size, from which on it is somebody else.
_REACH = 0.5
# Seconds after which somebody who was out of sight comes back as somebody new.
_PATIENCE = 1.0


@dataclass
class _Seen:
    """Where and when somebody was seen last."""

    keypoints: Tensor
    time: float


class Tracker:
    """Gives people numbers that they keep, in the order in which they come.

    Everybody of a frame is matched with somebody of the frames before so that the keypoints of all
    together move least. Whoever is too far from everybody gets a new number.

    Attributes:
        next: The number of the next stranger.
    """

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self.next = 0

    def __call__(self, time: float, people: list[Tensor]) -> list[int]:
        """Return the numbers of the people of the next frame.

        Args:
            time: Of the frame, in seconds.
            people: Their keypoints ``[17, 3]``, pixels and confidence.
        """
        known = [(n, seen) for n, seen in self._seen.items() if time - seen.time <= _PATIENCE]
        numbers = [-1] * len(people)
        if known and people:
            cost = torch.tensor(
                [[distance(seen.keypoints, one) for one in people] for _, seen in known]
            )
            # All that is out of reach costs the same, so that it never displaces a match.
            for row, column in zip(*linear_sum_assignment(cost.clamp(max=_REACH)), strict=True):
                if cost[row, column] < _REACH:
                    numbers[column] = known[row][0]
        for i, keypoints in enumerate(people):
            if numbers[i] < 0:
                numbers[i], self.next = self.next, self.next + 1
            known.append((numbers[i], _Seen(keypoints, time)))
        self._seen = dict(known)
        return numbers

    def recall(self, number: int, time: float, keypoints: Tensor) -> None:
        """Take in somebody of an earlier frame, whose number is known."""
        self._seen[number] = _Seen(keypoints, time)


def distance(keypoints: Tensor, others: Tensor) -> float:
    """Return the mean distance of what both show, over the first one's size; else infinity."""
    both = (keypoints[:, 2] >= MIN_CONFIDENCE) & (others[:, 2] >= MIN_CONFIDENCE)
    size = visible_extent(keypoints)[1]
    if not both.any() or not size > 0:
        return math.inf
    return float((keypoints[both, :2] - others[both, :2]).norm(dim=1).mean() / size)
