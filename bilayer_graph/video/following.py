"""People through the frames of a video: found, recovered, numbered."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass

import torch
from PIL import Image

from bilayer_graph.detection import Detector, MoveNetDetector
from bilayer_graph.detection.tracked import Patches, TrackedDetector
from bilayer_graph.errors import InputError
from bilayer_graph.person import Person
from bilayer_graph.recovery.batches import batches
from bilayer_graph.recovery.bodies import is_finite
from bilayer_graph.recovery.find import Candidate, NobodyError, find_people
from bilayer_graph.recovery.requests import Refused, Request
from bilayer_graph.video.ahead import ahead
from bilayer_graph.video.reading import VideoFrame
from bilayer_graph.video.tracker import Tracker

Found = tuple[VideoFrame, list[Candidate | Refused]]
"""A frame and the people in it, or why there are none."""


@dataclass(frozen=True)
class FramePeople:
    """The people of one frame.

    Attributes:
        number: Which of the frames it is, counted from 0.
        time: Seconds since the first frame.
        picture: The frame, mode RGB, upright.
        people: By the numbers that they keep from frame to frame.
        error: What went wrong with this frame, or ``None``; nobody in it is no error.
    """

    number: int
    time: float
    picture: Image.Image
    people: dict[int, Person]
    error: InputError | None


class Follower:
    """A follower, which recovers the people of the frames of one video, given one after the other.

    Args:
        detector: Who looks for people. The package's own looks again where they were, any other
            at every frame.
        recover: From people to bodies.
        batch_size: People that are recovered at once.
        patches: For :class:`~bilayer_graph.detection.tracked.TrackedDetector`.
    """

    def __init__(
        self,
        detector: Detector | None,
        recover: Callable[[list[Candidate]], list[Person]],
        batch_size: int,
        patches: Patches | None = None,
    ) -> None:
        self.detector = detector
        if isinstance(detector, MoveNetDetector):
            self.detector = TrackedDetector(detector, patches)
        self.tracker = Tracker()
        self._recover = recover
        self._batch_size = batch_size

    def __call__(self, frame: VideoFrame) -> FramePeople:
        """Recover the people of the next frame."""
        return self.recover(self.find(frame))

    def follow(self, frames: Iterable[VideoFrame]) -> Generator[FramePeople]:
        """Recover the people of frames; yield each frame as soon as it is done.

        Another thread finds the people of the next frames meanwhile. Torch has half of its threads
        there, and half here until the end; if it has only one, all is done in turns.
        """
        threads = torch.get_num_threads()
        if threads == 1:
            yield from map(self, frames)
            return
        half = threads // 2
        torch.set_num_threads(half)
        try:
            with closing(ahead(map(self.find, frames), half)) as found:
                yield from map(self.recover, found)
        finally:
            torch.set_num_threads(threads)

    def find(self, frame: VideoFrame) -> Found:
        """Find the people of the next frame."""
        request = Request(frame.number, None, frame.picture, None)
        return frame, list(find_people([request], self.detector))

    def recover(self, found: Found) -> FramePeople:
        """Recover people that were found, and number them."""
        frame, everybody = found
        recovered: list[Person] = []
        error: InputError | None = None
        for batch in batches(everybody, self._batch_size):
            refused = [one.error for one in batch if isinstance(one, Refused)]
            error = next((one for one in refused if not isinstance(one, NobodyError)), error)
            candidates = [one for one in batch if isinstance(one, Candidate)]
            people = self._recover(candidates) if candidates else []
            recovered += [person for person in people if is_finite(person)]
        numbers = self.tracker(frame.time, [person.keypoints for person in recovered])
        numbered = dict(zip(numbers, recovered, strict=True))
        return FramePeople(frame.number, frame.time, frame.picture, numbered, error)
