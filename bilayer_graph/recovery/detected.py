"""People from a detector, which may be a stranger's: it may fail, and say anything."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bilayer_graph.body import COCO_NAMES
from bilayer_graph.detection import DetectedPerson, Detector, MoveNetDetector
from bilayer_graph.detection.tracked import SeenPerson
from bilayer_graph.errors import InputError
from bilayer_graph.pictures import KeypointFile, to_tensor
from bilayer_graph.pictures.person_rows import Row
from bilayer_graph.recovery.given import Sighting, as_array

# Longer side of what a detector is shown, in pixels: as floats, 200 MB at the most.
MAX_SIDE = 4096

_REMEDY = "Mend the detector, or give keypoints"


def detect(
    detector: Detector | None, pictures: list[Image.Image]
) -> list[list[Sighting] | InputError]:
    """Return the people of each picture, or what went wrong with it.

    Pictures longer than ``MAX_SIDE`` are shown to the detector shrunk by a whole number.

    Args:
        detector: Who looks for people; ``None`` if nobody can.
        pictures: The pictures.
    """
    shrinks = [math.ceil(max(picture.size) / MAX_SIDE) for picture in pictures]
    pairs = zip(pictures, shrinks, strict=True)
    shown = [picture.reduce(shrink) for picture, shrink in pairs]
    together = _detect_together(detector, shown)
    found: list[list[Sighting] | InputError] = []
    for number, (picture, shrink) in enumerate(zip(shown, shrinks, strict=True)):
        try:
            people = _call(detector, picture) if together is None else together[number]
            checked = _checked(people, _name(detector), picture.size)
            found.append([_enlarged(person, shrink) for person in checked])
        except InputError as error:
            found.append(error)
    return found


def _enlarged(person: Sighting, factor: int) -> Sighting:
    scale = torch.tensor([factor, factor, 1.0])
    return replace(person, keypoints=person.keypoints * scale)


def _detect_together(
    detector: Detector | None, pictures: list[Image.Image]
) -> list[list[DetectedPerson]] | None:
    """Return what the package's own detector, which takes several pictures, sees in them."""
    if not isinstance(detector, MoveNetDetector) or len(pictures) < 2:
        return None
    try:
        return detector.detect([to_tensor(picture) for picture in pictures])
    except Exception:  # one of them is at fault, or too much at once: then one by one
        return None


def _call(detector: Detector | None, picture: Image.Image) -> Any:
    if detector is None:
        remedy = "Give keypoints, or load the predictor with a detector"
        raise InputError("keypoints", None, "none are given, and nobody looks for them", remedy)
    try:
        return detector(to_tensor(picture))
    except InputError:
        raise
    except Exception as error:  # whatever a stranger's code may raise
        problem = f"fails on this picture ({type(error).__name__}: {str(error)[:200]})"
        raise InputError("detector", _name(detector), problem, _REMEDY) from error


def _checked(people: Any, name: str, size: tuple[int, int]) -> list[Sighting]:
    """Return those who can be used; the others are left out as a keypoint file's are."""
    if not isinstance(people, (list, tuple)):
        problem = f"gives {type(people).__name__}, not a list of DetectedPerson"
        raise InputError("detector", name, problem, _REMEDY)
    strangers = [one for one in people if not isinstance(one, DetectedPerson)]
    if strangers:
        problem = f"gives a list with {type(strangers[0]).__name__}, not DetectedPerson, in it"
        raise InputError("detector", name, problem, _REMEDY)
    if not people:
        return []
    scores = [_score(person.score, name) for person in people]
    rows = [Row(as_array(person.keypoints), (COCO_NAMES,)) for person in people]
    try:
        usable = KeypointFile(Path(f"those of {name}"), [], rows).people(size=size)
    except InputError as error:
        remedy = "Give a picture that shows shoulders, hips or limbs, or keypoints"
        raise InputError(
            "detector", name, f"finds nobody to use: {error.problem}", remedy
        ) from error
    return [
        Sighting(row, keypoints, scores[row], bool(people[row].uncertain), _patches(people[row]))
        for row, keypoints in zip(usable.rows, usable.keypoints, strict=True)
    ]


def _patches(person: DetectedPerson) -> Tensor | None:
    return person.patches if isinstance(person, SeenPerson) else None


def _score(value: Any, name: str) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError, RuntimeError):
        score = math.nan
    if not math.isfinite(score):
        raise InputError("detector", name, f"gives {value!s:.40} as a score", _REMEDY)
    return min(max(score, 0.0), 1.0)


def _name(detector: Detector | None) -> str:
    return str(getattr(detector, "__name__", type(detector).__name__))
