"""The picture with all its people laid over it."""

from collections.abc import Sequence

from PIL import Image

from bilayer_graph.person import Person
from bilayer_graph.pictures import to_tensor
from bilayer_graph.render.panels import lay_over

MAX_SIDE = 1536
"""Longer side of a picture that is shown, in pixels: larger ones are shrunk, to bound memory."""


def overlay_people(people: Sequence[Person]) -> Image.Image:
    """Return the picture of some people with all their bodies laid over it.

    Args:
        people: At least one, all of one picture.
    """
    picture, scale = shown_picture(people[0].picture)
    return lay_over(
        to_tensor(picture),
        [person.vertices + person.camera.place for person in people],
        people[0].faces,
        [scale * person.camera.project(person.vertices) for person in people],
    )


def shown_picture(picture: Image.Image) -> tuple[Image.Image, float]:
    """Return a picture as large as it is shown, and its scale."""
    scale = min(1.0, MAX_SIDE / max(picture.size))
    if scale < 1:
        width, height = (max(1, round(scale * side)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    return picture, scale
