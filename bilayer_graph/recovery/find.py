"""The people of pictures: from the keypoints that are given, or by the detector."""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from bilayer_graph.detection import Detector
from bilayer_graph.errors import InputError
from bilayer_graph.recovery.detected import detect
from bilayer_graph.recovery.given import Sighting, given_people
from bilayer_graph.recovery.requests import Refused, Request


@dataclass(frozen=True)
class Candidate:
    """A person in a picture, before the model has seen it.

    Attributes:
        number: Which of the pictures it is in, counted from 0.
        count: How many people of the picture can be used.
        last: Whether it is the last of them.
        picture: The picture.
        seen: The person.
    """

    number: int
    count: int
    last: bool
    picture: Image.Image
    seen: Sighting


class NobodyError(InputError):
    """A sound picture in which nobody is found."""


def find_people(
    requests: list[Request | Refused], detector: Detector | None
) -> Iterator[Candidate | Refused]:
    """Yield the people of some pictures, in order; a picture without any is refused.

    Args:
        requests: The pictures; those without keypoints pass through the detector together.
        detector: Who looks for people; ``None`` if nobody can.
    """
    blind = [one for one in requests if isinstance(one, Request) and one.keypoints is None]
    seen = detect(detector, [one.picture for one in blind])
    found = {one.number: people for one, people in zip(blind, seen, strict=True)}
    for one in requests:
        if isinstance(one, Refused):
            yield one
            continue
        people = _people(one, found.get(one.number))
        if isinstance(people, InputError):
            yield Refused(one.number, people)
            continue
        for place, person in enumerate(people, start=1):
            count = len(people)
            yield Candidate(one.number, count, place == count, one.picture, person)


def _people(
    request: Request, found: list[Sighting] | InputError | None
) -> list[Sighting] | InputError:
    """Return at least one person of a picture, or an error."""
    if request.keypoints is not None:
        try:
            found = given_people(request.picture, request.path, request.keypoints)
        except InputError as error:
            return error
    if not found:
        value = request.path or "picture"
        remedy = "Give a picture with a person, or keypoints"
        return NobodyError("image", value, "nobody found in it", remedy)
    return found
