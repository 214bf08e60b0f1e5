"""The front door: pictures in, people out."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bilayer_graph.body import BodyModel, PerspectiveCamera
from bilayer_graph.detection import DetectedPerson, Detector, MoveNetDetector
from bilayer_graph.detection.suppress import joint_box
from bilayer_graph.errors import InputError
from bilayer_graph.models import SHIPPED_WEIGHTS, BilayerHMR, load_model
from bilayer_graph.models.lifting import FIELD_OF_VIEW, Crops, lift
from bilayer_graph.person import Person
from bilayer_graph.pictures import (
    KeypointFile,
    Picture,
    as_image,
    crop_image,
    keypoints_box,
    to_crop,
    to_tensor,
)

Keypoints = str | Path | KeypointFile | np.ndarray | Tensor | Sequence[Any]

# Pictures that the detector sees together: each may be large.
_PICTURES = 4


@dataclass(frozen=True)
class Result:
    """One answer of :meth:`Predictor.stream`.

    Attributes:
        number: Which of the pictures it is about, counted from 0.
        index: Which of the picture's people, counted from 0.
        count: How many people the picture has.
        person: The person, or ``None`` where there is an error.
        error: What is wrong with the picture or the person, or ``None``.
    """

    number: int
    index: int
    count: int
    person: Person | None
    error: InputError | None


@dataclass(frozen=True)
class _Candidate:
    """A person in a picture, before the model has seen it."""

    number: int
    index: int
    count: int
    picture: Image.Image
    found: DetectedPerson


class Predictor:
    """Recovers the people of pictures.

    Args:
        model: The model, in evaluation mode.
        body: The body that it was trained on.
        detector: What finds people where no keypoints are given.
        field_of_view: Degrees along the longer side of the pictures.
        batch_size: People that pass through the model at once, which bounds the memory.

    Raises:
        InputError: If the field of view is none.
    """

    def __init__(
        self,
        model: BilayerHMR,
        body: BodyModel,
        detector: Detector,
        field_of_view: float = FIELD_OF_VIEW,
        batch_size: int = 16,
    ) -> None:
        if not 1 <= field_of_view <= 170:
            remedy = "Give degrees from 1 to 170, 50 if it is unknown"
            raise InputError("field_of_view", field_of_view, "no field of view", remedy)
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
        detector: Detector | str = "default",
        field_of_view: float = FIELD_OF_VIEW,
    ) -> "Predictor":
        """Build a predictor from files.

        Args:
            weights: Checkpoint of the model; what the package ships if ``None``.
            body: Body file with SMPL's fields; the built-in body if ``None``.
            device: ``"auto"`` (CUDA where there is one), ``"cpu"`` or ``"cuda"``.
            detector: ``"default"``, or any :class:`~bilayer_graph.detection.Detector`.
            field_of_view: Degrees along the longer side of the pictures.

        Raises:
            InputError: If a file cannot be used or there is no such device.
        """
        place = choose_device(device)
        loaded = BodyModel.load(body)
        model = load_model(SHIPPED_WEIGHTS if weights is None else weights, loaded)
        if isinstance(detector, str):
            if detector != "default":
                remedy = 'Give "default", or an object that is called with a picture'
                raise InputError("detector", detector, "no such detector", remedy)
            detector = MoveNetDetector.load().to(place)
        return cls(model.to(place), loaded.to(place), detector, field_of_view)

    def __call__(self, image: Picture, keypoints: Keypoints | None = None) -> list[Person]:
        """Recover the people of one picture.

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
        picture = as_image(image)
        found = self._find([picture], [(image, keypoints)])[0]
        if isinstance(found, InputError):
            raise found
        candidates = [
            _Candidate(0, i, len(found), picture, person) for i, person in enumerate(found)
        ]
        people = []
        for result in self._recover_all(candidates):
            if result.error is not None:
                raise result.error
            assert result.person is not None
            people.append(result.person)
        return people

    def stream(
        self, pictures: Iterable[Picture | tuple[Picture, Keypoints | None]]
    ) -> Iterator[Result]:
        """Recover the people of many pictures; yield each as soon as its batch is done.

        People are batched across pictures, and memory does not grow with the number of pictures or
        of people in one. A picture that cannot be used, or shows nobody, gives one result with an
        error, and the others go on.

        Args:
            pictures: Pictures, or pairs of a picture and its keypoints, as for :meth:`__call__`.
        """
        waiting: list[_Candidate] = []
        for item in self._candidates(pictures):
            if isinstance(item, Result):
                yield from self._recover_all(waiting)
                waiting = []
                yield item
                continue
            waiting.append(item)
            if len(waiting) == self.batch_size:
                yield from self._recover(waiting)
                waiting = []
        yield from self._recover_all(waiting)

    def _candidates(
        self, pictures: Iterable[Picture | tuple[Picture, Keypoints | None]]
    ) -> Iterator[_Candidate | Result]:
        for first, group in _groups(pictures, _PICTURES):
            images: list[Image.Image] = []
            asked: list[tuple[Picture, Keypoints | None]] = []
            places: list[int] = []
            failed: dict[int, InputError] = {}
            for number, item in enumerate(group, start=first):
                image, keypoints = item if isinstance(item, tuple) else (item, None)
                try:
                    images.append(as_image(image))
                except InputError as error:
                    failed[number] = error
                    continue
                asked.append((image, keypoints))
                places.append(number)
            found = dict(zip(places, self._find(images, asked), strict=True))
            shown = dict(zip(places, images, strict=True))
            for number in range(first, first + len(group)):
                people = failed.get(number) or found[number]
                if isinstance(people, InputError):
                    yield Result(number, 0, 0, None, people)
                    continue
                if not people:
                    value = _name(group[number - first])
                    remedy = "Give a picture with a person, or keypoints"
                    nobody = InputError("image", value, "nobody found in it", remedy)
                    yield Result(number, 0, 0, None, nobody)
                for index, person in enumerate(people):
                    yield _Candidate(number, index, len(people), shown[number], person)

    def _find(
        self, images: list[Image.Image], asked: list[tuple[Picture, Keypoints | None]]
    ) -> list[list[DetectedPerson] | InputError]:
        """Return the people of each picture, from its keypoints or by the detector."""
        out: list[list[DetectedPerson] | InputError] = [[] for _ in images]
        blind = [i for i, (_, keypoints) in enumerate(asked) if keypoints is None]
        seen = self._detect([to_tensor(images[i]) for i in blind])
        for i, people in zip(blind, seen, strict=True):
            out[i] = people
        for i, (image, keypoints) in enumerate(asked):
            if keypoints is not None:
                try:
                    out[i] = given_people(images[i], image, keypoints)
                except InputError as error:
                    out[i] = error
        return out

    def _detect(self, pictures: list[Tensor]) -> list[list[DetectedPerson]]:
        if isinstance(self.detector, MoveNetDetector):
            return self.detector.detect(pictures)
        return [self.detector(picture) for picture in pictures]

    def _recover_all(self, candidates: list[_Candidate]) -> Iterator[Result]:
        for start in range(0, len(candidates), self.batch_size):
            yield from self._recover(candidates[start : start + self.batch_size])

    def _recover(self, candidates: list[_Candidate]) -> Iterator[Result]:
        """Recover one batch; each person whose numbers are of no use costs that person only."""
        usable, boxes = [], []
        results: dict[int, Result] = {}
        for row, one in enumerate(candidates):
            try:
                boxes.append(keypoints_box(one.found.keypoints))
                usable.append(row)
            except InputError as error:
                results[row] = Result(one.number, one.index, one.count, None, error)
        if usable:
            for row, person in zip(usable, self._people(candidates, usable, boxes), strict=True):
                one = candidates[row]
                fault = None
                if not person.vertices.isfinite().all():
                    remedy = "Give finite pixels and keypoints"
                    value = f"person {one.index}"
                    fault = InputError("keypoints", value, "gives numbers that are none", remedy)
                found = person if fault is None else None
                results[row] = Result(one.number, one.index, one.count, found, fault)
        for row in range(len(candidates)):
            yield results[row]

    def _people(
        self,
        candidates: list[_Candidate],
        usable: list[int],
        boxes: list[tuple[Tensor, Tensor]],
    ) -> Iterator[Person]:
        device = self.body.v_template.device
        chosen = [candidates[row] for row in usable]
        centre, side = (torch.stack(tensors) for tensors in zip(*boxes, strict=True))
        keypoints = torch.stack([one.found.keypoints.float() for one in chosen])
        sizes = torch.tensor([one.picture.size for one in chosen], dtype=torch.float32)
        focal = sizes.amax(1) / 2 / math.tan(math.radians(self.field_of_view) / 2)
        image = None
        if self.model.encoder is not None:
            crops = [
                crop_image(one.picture, *box, self.model.image_size)
                for one, box in zip(chosen, boxes, strict=True)
            ]
            image = torch.stack(crops).to(device)
        points = torch.cat([to_crop(keypoints[..., :2], centre, side), keypoints[..., 2:]], -1)
        lifted = lift(
            self.model,
            self.body,
            Crops(
                torch.where(points[..., 2:] > 0, points, 0).to(device),
                ((centre - sizes / 2) / focal.unsqueeze(1)).to(device),
                (side / 2 / focal).to(device),
                image,
            ),
        )
        answers = {name: tensor.cpu() for name, tensor in vars(lifted).items()}
        faces = self.body.faces.cpu()
        for row, one in enumerate(chosen):
            yield Person(
                joints=answers["joints"][row],
                vertices=answers["vertices"][row],
                free_vertices=answers["free_vertices"][row],
                body_pose=answers["rotations"][row, 1:],
                global_orient=answers["rotations"][row, 0],
                betas=answers["betas"][row],
                camera=PerspectiveCamera(float(focal[row]), sizes[row] / 2, answers["place"][row]),
                crop=torch.cat([centre[row], side[row].view(1)]),
                keypoints=keypoints[row],
                score=one.found.score,
                uncertain=one.found.uncertain,
                picture=one.picture,
                faces=faces,
                skeleton=self.body.skeleton,
            )


def given_people(
    picture: Image.Image, image: Picture, keypoints: Keypoints
) -> list[DetectedPerson]:
    """Return people whose keypoints are given, in a file or as numbers."""
    # A file that is given for many pictures must name this one.
    only = not isinstance(keypoints, KeypointFile)
    if isinstance(keypoints, (str, Path)):
        keypoints = KeypointFile.load(keypoints)
    elif not isinstance(keypoints, KeypointFile):
        values = keypoints.cpu() if isinstance(keypoints, Tensor) else keypoints
        keypoints = KeypointFile.of_array(np.asarray(values))
    path = image if isinstance(image, (str, Path)) else None
    found = keypoints.people(path, picture.size, only)
    return [DetectedPerson(person, joint_box(person, 0.2), 1.0) for person in found.keypoints]


def choose_device(device: str) -> torch.device:
    """Return the device of a name; ``"auto"`` is CUDA where there is one.

    Raises:
        InputError: If there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu" or (device.startswith("cuda") and torch.cuda.is_available()):
        return torch.device(device)
    raise InputError("device", device, "no such device here", 'Give "auto" or "cpu"')


def _groups(items: Iterable[Any], size: int) -> Iterator[tuple[int, list[Any]]]:
    """Yield items in lists of the given size, each with the number of its first."""
    group: list[Any] = []
    number = 0
    for item in items:
        group.append(item)
        if len(group) == size:
            yield number, group
            number += size
            group = []
    if group:
        yield number, group


def _name(item: Any) -> str:
    image = item[0] if isinstance(item, tuple) else item
    return str(image) if isinstance(image, (str, Path)) else type(image).__name__
