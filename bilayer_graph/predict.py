"""The front door: pictures in, people out."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from bilayer_graph.body import HUMAN, BodyModel
from bilayer_graph.detection import Detector, MoveNetDetector
from bilayer_graph.errors import InputError
from bilayer_graph.models import SHIPPED_WEIGHTS, BilayerHMR, fold_batch_norms, load_model
from bilayer_graph.models.lifting import FIELD_OF_VIEW, coco_patches, sees_with
from bilayer_graph.person import Person
from bilayer_graph.pictures import Picture
from bilayer_graph.recovery.batches import batches
from bilayer_graph.recovery.bodies import is_finite, recover_bodies
from bilayer_graph.recovery.find import Candidate, NobodyError, find_people
from bilayer_graph.recovery.requests import Item, Keypoints, Refused, check_items, read_requests
from bilayer_graph.video import Follower, FramePeople, Smoother, VideoReader

__all__ = ["Keypoints", "NobodyError", "Predictor", "Result", "choose_device"]

# Pictures that the detector sees together.
_PICTURES = 4


@dataclass(frozen=True)
class Result:
    """One answer of :meth:`Predictor.stream`.

    Attributes:
        number: Which of the pictures it is about, counted from 0.
        index: Which of the people of the keypoint file, or of the detector's, counted from 0; there
            are gaps where some could not be used.
        count: How many people of the picture could be used.
        last: Whether it is the last answer about this picture.
        person: The person, or ``None`` where there is an error.
        error: What is wrong with the picture or the person, or ``None``; a
            :class:`NobodyError` where the picture is sound and nobody is in it.
    """

    number: int
    index: int
    count: int
    last: bool
    person: Person | None
    error: InputError | None


class Predictor:
    """A model, its body and a detector, which recover the people of pictures.

    Args:
        model: The model, in evaluation mode.
        body: The body that it was trained on, a human.
        detector: What finds people where no keypoints are given; ``None`` if they always are.
        field_of_view: Degrees along the longer side of the pictures.
        batch_size: People that pass through the model at once, which bounds the memory.

    Raises:
        InputError: If an argument cannot be used.
    """

    def __init__(
        self,
        model: BilayerHMR,
        body: BodyModel,
        detector: Detector | None,
        field_of_view: float = FIELD_OF_VIEW,
        batch_size: int = 16,
    ) -> None:
        _check(detector, field_of_view, batch_size)
        if body.skeleton.names != HUMAN.names:
            remedy = "Give a human body; lift another with bilayer_graph.models"
            raise InputError("body", body.skeleton.names[0], "not a human's joints", remedy)
        self.model = model
        self.body = body
        self.detector = detector
        self.field_of_view = field_of_view
        self.batch_size = batch_size

    @classmethod
    def load(
        cls,
        weights: str | Path | None = None,
        body: str | Path | None = None,
        device: str = "auto",
        detector: Detector | str | None = "default",
        field_of_view: float = FIELD_OF_VIEW,
        batch_size: int = 16,
    ) -> "Predictor":
        """Build a predictor from files.

        Args:
            weights: Checkpoint of the model; what the package ships if ``None``.
            body: Body file with SMPL's fields; the built-in body if ``None``.
            device: ``"auto"`` (CUDA where there is one), ``"cpu"`` or ``"cuda"``.
            detector: ``"default"``, any :class:`~bilayer_graph.detection.Detector`, or ``None``
                where keypoints are always given.
            field_of_view: Degrees along the longer side of the pictures.
            batch_size: People that pass through the model at once.

        Raises:
            InputError: If an argument or a file cannot be used.
        """
        _check(detector, field_of_view, batch_size)
        place = choose_device(device)
        loaded = BodyModel.load(body)
        model = load_model(SHIPPED_WEIGHTS if weights is None else weights, loaded)
        if isinstance(detector, str):
            detector = MoveNetDetector.load().to(place)
        model = fold_batch_norms(model).to(place)
        return cls(model, loaded.to(place), detector, field_of_view, batch_size)

    def __call__(self, image: Picture, keypoints: Keypoints | None = None) -> list[Person]:
        """Recover the people of one picture.

        People who cannot be used are left out with a warning.

        Args:
            image: A path, a PIL image, an array ``[H, W, 3]`` (8 bits, or floats in [0, 1]) or a
                tensor ``[3, H, W]`` (the same).
            keypoints: A keypoint file, or an array ``[17 | 12, 2 | 3]`` or ``[P, 17 | 12, 2 | 3]``
                in pixels, COCO's 17 keypoints or the 12 joints; the detector looks if ``None``.

        Returns:
            The people, in the order of the keypoints, or the surest first; none where the detector
            finds nobody.

        Raises:
            InputError: If picture or keypoints cannot be used.
        """
        people: list[Person] = []
        errors: list[InputError] = []
        for result in self.stream([(image, keypoints)]):
            if result.person is not None:
                people.append(result.person)
            elif result.error is not None and not isinstance(result.error, NobodyError):
                errors.append(result.error)
        if errors and not people:
            raise errors[0]
        for error in errors:
            warnings.warn(f"left out: {error}", stacklevel=2)
        return people

    def stream(self, pictures: Iterable[Item]) -> Iterator[Result]:
        """Recover the people of many pictures; yield each as soon as its batch is done.

        People are batched across pictures, in the order of the pictures, and memory does not grow
        with their number. A picture that cannot be used, or shows nobody, gives one result with an
        error, and the others go on. An error that ``pictures`` itself raises comes after the
        results of what it gave before.

        Args:
            pictures: Pictures, or pairs of a picture and its keypoints, as for :meth:`__call__`.

        Raises:
            InputError: If this is one picture, or a path.
        """
        check_items(pictures)
        return self._stream(pictures)

    def video(
        self, source: str | Path | int | VideoReader, smooth: bool = False
    ) -> Iterator[FramePeople]:
        """Recover the people of a video; yield each frame as soon as it is done.

        People keep their number from frame to frame, and memory does not grow with the frames. An
        error of the file, such as a missing end, comes after the frames that can be read.

        Args:
            source: A video file, the number of a camera, or an open reader.
            smooth: Whether poses, places and shapes are filtered, as they come.

        Raises:
            InputError: If PyAV is missing, or if it is no video.
        """
        reader = source if isinstance(source, VideoReader) else VideoReader(source)
        return self._video(reader, smooth)

    def follow(self) -> Follower:
        """Return what recovers the people of the frames of one video, given one by one."""
        shared = isinstance(self.detector, MoveNetDetector) and sees_with(
            self.model, self.detector.refiner
        )
        patches = coco_patches if shared else None
        return Follower(self.detector, self._recover, self.batch_size, patches)

    def _video(self, reader: VideoReader, smooth: bool) -> Iterator[FramePeople]:
        follower = self.follow()
        smoother = Smoother(self.body) if smooth else None
        with reader, closing(follower.follow(reader)) as frames:
            for frame in frames:
                yield frame if smoother is None else smoother(frame)

    def _stream(self, pictures: Iterable[Item]) -> Iterator[Result]:
        for batch in batches(self._find(pictures), self.batch_size):
            candidates = [one for one in batch if isinstance(one, Candidate)]
            people = iter(self._recover(candidates))
            for one in batch:
                if isinstance(one, Refused):
                    yield Result(one.number, 0, 0, True, None, one.error)
                else:
                    yield _result(one, next(people))

    def _find(self, pictures: Iterable[Item]) -> Iterator[Candidate | Refused]:
        for group in batches(read_requests(pictures), _PICTURES):
            yield from find_people(group, self.detector)

    def _recover(self, people: list[Candidate]) -> list[Person]:
        if not people:
            return []
        return recover_bodies(self.model, self.body, people, self.field_of_view)


def choose_device(device: str) -> torch.device:
    """Return the device of a name; ``"auto"`` is CUDA where there is one.

    Raises:
        InputError: If there is no such device.
    """
    there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if device == "auto":
        return torch.device("cuda" if there else "cpu")
    if device == "cpu" or device in there or (device == "cuda" and there):
        return torch.device(device)
    raise InputError("device", device, "no such device here", 'Give "auto" or "cpu"')


def _check(detector: Detector | str | None, field_of_view: float, batch_size: int) -> None:
    if not 1 <= field_of_view <= 170:
        remedy = "Give degrees from 1 to 170, 50 if it is unknown"
        raise InputError("field_of_view", field_of_view, "no field of view", remedy)
    if batch_size < 1:
        raise InputError("batch_size", batch_size, "nobody at once", "Give 1 or more")
    if detector not in (None, "default") and not callable(detector):
        remedy = 'Give "default", None, or an object that is called with a picture'
        raise InputError("detector", detector, "no such detector", remedy)


def _result(one: Candidate, person: Person) -> Result:
    """Return the answer about a person, an error if the model has no numbers for it."""
    place = one.number, one.seen.index, one.count, one.last
    if is_finite(person):
        return Result(*place, person, None)
    remedy = "Give keypoints in pixels of this picture"
    value = f"person {one.seen.index}"
    error = InputError("keypoints", value, "the model gives no finite numbers for it", remedy)
    return Result(*place, None, error)
