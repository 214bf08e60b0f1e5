"""A frame with its people and their numbers over it."""

from PIL import Image, ImageDraw

from bilayer_graph.recovery.people_overlay import overlay_people, shrunk
from bilayer_graph.video.following import FramePeople

# Height of a number over that of the picture, and its colours.
_TEXT, _INK, _EDGE = 1 / 24, (255, 220, 60), (0, 0, 0)


def draw_people(frame: FramePeople) -> Image.Image:
    """Return a frame with the bodies of its people and, above each, the number."""
    if not frame.people:
        return shrunk(frame.picture)
    # One sample a pixel: a codec blurs edges anyway.
    drawn = overlay_people(list(frame.people.values()), samples=1)
    pen, scale = ImageDraw.Draw(drawn), drawn.width / frame.picture.width
    size = max(10, round(_TEXT * drawn.height))
    for number, person in frame.people.items():
        seen = scale * person.camera.project(person.vertices)
        x, y = float(seen[:, 0].mean()), float(seen[:, 1].min())
        place = (min(max(x, size), drawn.width - size), min(max(y, size), drawn.height))
        pen.text(
            place, str(number), _INK, font_size=size, anchor="mb", stroke_width=1, stroke_fill=_EDGE
        )
    return drawn
