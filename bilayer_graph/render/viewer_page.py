"""A page of HTML that shows people in three dimensions before their photo; it loads nothing."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bilayer_graph.body import Skeleton
from bilayer_graph.render.mesh_files import CLAY, UPRIGHT
from bilayer_graph.render.panels import limb_colour

_FOLDER = Path(__file__).parent
# Bodies of one picture must be told apart; the first is of clay.
_COLOURS = (CLAY[:3], (136, 170, 204), (208, 160, 120), (150, 186, 140), (196, 150, 190))
# The photo stands behind the farthest person, by a share of its distance.
_BEHIND = 1.25


@dataclass(frozen=True)
class ShownBody:
    """A person as the page shows it; metres, in axes and at the origin of the photo's camera.

    Attributes:
        name: Its heading.
        rows: Pairs of what and how much, as text.
        vertices: ``[V, 3]``.
        joints: ``[J, 3]``.
    """

    name: str
    rows: list[tuple[str, str]]
    vertices: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class ShownPhoto:
    """A photo and its camera.

    Attributes:
        title: What it is called.
        about: A line about it.
        image: The photo, as large as it is shown.
        focal: Focal length in its pixels.
        centre: Where the optical axis meets it, ``[2]``, pixels.
    """

    title: str
    about: str
    image: Image.Image
    focal: float
    centre: np.ndarray


def viewer_page(
    photo: ShownPhoto, bodies: Sequence[ShownBody], faces: np.ndarray, skeleton: Skeleton
) -> str:
    """Return the page: bodies, photo, skeletons and numbers, to be turned, zoomed and moved.

    Args:
        photo: The photo.
        bodies: At least one.
        faces: Triangles that all bodies share, ``[F, 3]``.
        skeleton: Names and bones of their joints.
    """
    points = np.concatenate([body.vertices for body in bodies]) * UPRIGHT
    low, high = points.min(0), points.max(0)
    width = 4 if len(bodies[0].vertices) > 2**16 else 2
    colours = [limb_colour(skeleton, bone) for bone in skeleton.bones]
    scene = {
        "title": photo.title,
        "about": photo.about,
        "width": photo.image.width,
        "height": photo.image.height,
        "focal": photo.focal,
        "photo": _photo_address(photo.image),
        "wall": _wall(photo, -float(low[2]) * _BEHIND).tolist(),
        "pivot": ((low + high) / 2).tolist(),
        "radius": float(np.linalg.norm(high - low)) / 2,
        "index": width,
        "faces": _base64(faces.astype(f"<u{width}")),
        "bones": skeleton.bones,
        "bone_colours": [[part / 255 for part in colour] for colour in colours],
        "people": [_person(body, number) for number, body in enumerate(bodies)],
    }
    # A name of a file must not end the script that holds it.
    text = json.dumps(scene).replace("<", "\\u003c")
    page, viewer = ((_FOLDER / f"viewer.{kind}").read_text() for kind in ("html", "js"))
    return page.replace("/* VIEWER */", viewer).replace("/* SCENE */", text)


def _person(body: ShownBody, number: int) -> dict[str, object]:
    return {
        "name": body.name,
        "rows": body.rows,
        "colour": [part / 255 for part in _COLOURS[number % len(_COLOURS)]],
        "vertices": _base64((body.vertices * UPRIGHT).astype("<f4")),
        "joints": (body.joints * UPRIGHT).tolist(),
    }


def _wall(photo: ShownPhoto, depth: float) -> np.ndarray:
    """Return the photo's corners at a depth, ``[4, 3]``: upper and lower left, then right."""
    width, height = photo.image.size
    corners = np.array([[0, 0], [0, height], [width, 0], [width, height]])
    flat = (corners - photo.centre) * depth / photo.focal
    wall: np.ndarray = np.column_stack([flat, np.full(4, depth)]) * UPRIGHT
    return wall


def _photo_address(image: Image.Image) -> str:
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
