"""The people of a picture as a page of HTML to look at."""

import math
from collections.abc import Sequence

from PIL import Image

from bilayer_graph.person import Person
from bilayer_graph.recovery.people_overlay import shrunk
from bilayer_graph.render.viewer_page import ShownBody, ShownPhoto, viewer_page


def people_page(people: Sequence[Person], title: str) -> str:
    """Return a page that shows the people of a picture in three dimensions; it loads nothing.

    Args:
        people: At least one, all of one picture.
        title: What the picture is called.
    """
    first = people[0]
    image = shrunk(first.picture)
    scale = image.width / first.picture.width
    camera = first.camera
    photo = ShownPhoto(
        title=title,
        about=_about(first.picture, camera.focal),
        image=image,
        focal=scale * camera.focal,
        centre=scale * camera.centre.numpy(),
    )
    bodies = [
        ShownBody(
            name=f"Person {number}",
            rows=_rows(person),
            vertices=(person.vertices + person.camera.place).numpy(),
            joints=(person.joints + person.camera.place).numpy(),
        )
        for number, person in enumerate(people)
    ]
    return viewer_page(photo, bodies, first.faces.numpy(), first.skeleton)


def _about(picture: Image.Image, focal: float) -> str:
    degrees = math.degrees(2 * math.atan(max(picture.size) / 2 / focal))
    return f"{picture.width} x {picture.height} pixels, field of view {degrees:.0f} degrees"


def _rows(person: Person) -> list[tuple[str, str]]:
    place = person.camera.place
    sure = float(person.keypoints[:, 2].mean())
    return [
        ("score", f"{person.score:.2f}{', a guess' if person.uncertain else ''}"),
        ("height", f"{person.height:.2f} m"),
        ("distance", f"{float(place.norm()):.2f} m"),
        ("to the right", f"{float(place[0]):.2f} m"),
        ("down", f"{float(place[1]):.2f} m"),
        ("forward", f"{float(place[2]):.2f} m"),
        ("keypoints", f"confidence {sure:.2f}"),
        ("shape", " ".join(f"{round(number, 1) + 0.0:.1f}" for number in person.betas.tolist())),
    ]
