"""The picture with all its people laid over it."""

from collections.abc import Sequence

from PIL import Image

from bilayer_graph.person import Person
from bilayer_graph.pictures import to_tensor
from bilayer_graph.render.panels import lay_over

MAX_SIDE = 1536
"""Longer side of the overlay in pixels: larger pictures are shrunk, which bounds the memory."""


def overlay_people(people: Sequence[Person], samples: int = 2) -> Image.Image:
    """Return the picture of some people with all their bodies laid over it.

    Args:
        people: At least one, all of one picture.
        samples: Samples a pixel along each axis: 1 is fast, 2 has smooth edges.
    """
    picture = shrunk(people[0].picture)
    scale = picture.width / people[0].picture.width
    return lay_over(
        to_tensor(picture),
        [person.vertices + person.camera.place for person in people],
        people[0].faces,
        [scale * person.camera.project(person.vertices) for person in people],
        samples,
    )


def shrunk(picture: Image.Image) -> Image.Image:
    """Return a picture no larger than overlays are."""
    scale = MAX_SIDE / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX)
