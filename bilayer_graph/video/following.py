"""People through the frames of a video: found, recovered, numbered."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from bilayer_graph.detection import Detector, MoveNetDetector
from bilayer_graph.detection.tracked import TrackedDetector
from bilayer_graph.errors import InputError
from bilayer_graph.person import Person
from bilayer_graph.recovery.batches import batches
from bilayer_graph.recovery.bodies import is_finite
from bilayer_graph.recovery.find import Candidate, NobodyError, find_people
from bilayer_graph.recovery.requests import Refused, Request
from bilayer_graph.video.reading import VideoFrame
from bilayer_graph.video.tracker import Tracker


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
    """

    def __init__(
        self,
        detector: Detector | None,
        recover: Callable[[list[Candidate]], list[Person]],
        batch_size: int,
    ) -> None:
        own = isinstance(detector, MoveNetDetector)
        self.detector = TrackedDetector(detector) if own else detector  # type: ignore[arg-type]
        self.tracker = Tracker()
        self._recover = recover
        self._batch_size = batch_size

    def __call__(self, frame: VideoFrame) -> FramePeople:
        """Recover the people of the next frame."""
        request = Request(frame.number, None, frame.picture, None)
        found: list[Person] = []
        error: InputError | None = None
        for batch in batches(find_people([request], self.detector), self._batch_size):
            refused = [one.error for one in batch if isinstance(one, Refused)]
            error = next((one for one in refused if not isinstance(one, NobodyError)), error)
            candidates = [one for one in batch if isinstance(one, Candidate)]
            recovered = self._recover(candidates) if candidates else []
            found += [person for person in recovered if is_finite(person)]
        numbers = self.tracker(frame.time, [person.keypoints for person in found])
        numbered = dict(zip(numbers, found, strict=True))
        return FramePeople(frame.number, frame.time, frame.picture, numbered, error)
