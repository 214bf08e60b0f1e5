"""The page that shows people, opened in a browser: what it draws is where the camera sees it."""

import base64
import io
import json
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from browser import needs_browser, visit
from PIL import Image
from predictors import keypoints, predictor

from bilayer_graph.recovery.people_page import people_page

PHOTO = (20, 140, 60)


@pytest.fixture(scope="module")
def people():
    given = keypoints()
    aside = given + torch.tensor([70.0, 0.0, 0.0])
    return predictor()(Image.new("RGB", (320, 240), PHOTO), torch.stack([given, aside]))


@pytest.fixture(scope="module")
def page(people):
    return people_page(people, "a </script> & <b>.jpg")


def visit_late(page, tmp_path, script, *options):
    """Open the page, run a script when it has drawn, return what the browser prints."""
    file = tmp_path / "page.html"
    late = f"addEventListener('load', () => setTimeout(() => {{ {script} }}, 200))"
    file.write_text(f"{page}<pre></pre><script>{late}</script>")
    printed, console = visit(file, *options)
    assert console == []
    return printed


def canvases(page, tmp_path, *scripts):
    """What the canvas shows after each of some scripts, one after the other: ``[H, W, 3]``."""
    shoot = "draw(); shots.push(canvas.toDataURL());"
    script = "const shots = [];" + "".join(f"{{ {one} {shoot} }}" for one in scripts)
    script += "document.querySelector('pre').textContent = JSON.stringify(shots);"
    printed = visit_late(page, tmp_path, script, "--dump-dom")
    shots = json.loads(printed.split("<pre>")[1].split("</pre>")[0])
    return [decoded(address) for address in shots]


def decoded(address):
    file = io.BytesIO(base64.b64decode(address.split(",")[1]))
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def toggle(*names):
    return "".join(f"document.getElementById('{name}').click();" for name in names)


def view(name):
    return f"document.querySelector('[data-view={name}]').click();"


def coloured(picture, colour, tolerance=12):
    return (np.abs(picture - np.array(colour)) < tolerance).all(-1)


def test_nothing_is_loaded(page):
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["']?(http|//)""", page)
    assert "import(" not in page
    assert "fetch(" not in page


def test_the_scene(page, people):
    text = page.split('id="scene">')[1].split("</script>")[0]
    scene = json.loads(text)
    assert scene["title"] == "a </script> & <b>.jpg"
    first = dict(scene["people"][0]["rows"])
    assert first["score"] == "1.00"
    assert first["height"] == f"{people[0].height:.2f} m"
    assert first["forward"] == f"{float(people[0].camera.place[2]):.2f} m"
    assert first["keypoints"] == "confidence 1.00"
    # The photo's corners are where its camera has them.
    wall = np.array(scene["wall"]) * [1, -1, -1]
    camera = people[0].camera
    pixels = camera.focal * wall[:, :2] / wall[:, 2:] + camera.centre.numpy()
    np.testing.assert_allclose(pixels, [[0, 0], [0, 240], [320, 0], [320, 240]], atol=1e-3)
    farthest = max(float((one.vertices + one.camera.place)[:, 2].max()) for one in people)
    assert (wall[:, 2] > farthest).all()


@needs_browser
def test_bodies_are_where_the_camera_sees_them(page, people, tmp_path):
    drawn, empty = canvases(page, tmp_path, "", toggle("bodies"))
    photo = coloured(empty, PHOTO)
    left, top, right, bottom = extent(photo)
    assert photo[top:bottom, left:right].mean() > 0.99
    assert (right - left) / (bottom - top) == pytest.approx(320 / 240, rel=0.01)
    bodies = ~coloured(drawn[top:bottom, left:right], PHOTO)
    size = np.array([right - left, bottom - top])
    points = (
        np.concatenate([one.camera.project(one.vertices) for one in people]) * size / [320, 240]
    )
    expected = [*points.min(0).clip(0), *points.max(0).clip(max=size)]
    np.testing.assert_allclose(extent(bodies), expected, atol=2.5)
    column, row = points[((points > 1) & (points < size - 2)).all(1)].astype(int).T
    assert bodies[row, column].mean() > 0.97


@needs_browser
def test_switches_and_views(page, tmp_path):
    hide = "document.querySelectorAll('section input')[1].click();"
    both, one, nothing, bones, *views = canvases(
        page,
        tmp_path,
        toggle("photo"),
        hide,
        hide + toggle("bodies"),
        toggle("skeleton"),
        toggle("skeleton", "bodies", "photo"),
        *map(view, ("side", "above", "back", "photo")),
    )
    assert len(np.unique(nothing.reshape(-1, 3), axis=0)) == 1
    for colour in [(66, 135, 245), (235, 87, 87), (240, 200, 60)]:  # left, right, between
        assert coloured(bones, colour).sum() > 50
    assert 0 < covered(one, nothing) < covered(both, nothing)
    for picture, other in pairwise(views):
        assert picture.std() > 3
        assert covered(picture, other) > 0.01
    # The photo hides nobody from behind, and its camera's view comes back.
    assert not coloured(views[3], PHOTO).any()
    np.testing.assert_array_equal(views[4], views[0])


def covered(picture, other):
    return (np.abs(picture - other).max(-1) > 20).mean()


def extent(mask):
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def drag(far, buttons):
    """A finger or mouse goes to the right."""
    steps = [("pointerdown", 300), ("pointermove", 300 + far), ("pointerup", 300 + far)]
    shared = f"pointerId: 1, clientY: 300, buttons: {buttons}"
    events = [
        f"canvas.dispatchEvent(new PointerEvent('{kind}', {{{shared}, clientX: {x}}}));"
        for kind, x in steps
    ]
    # The browser knows no pointer of this number to capture.
    return "canvas.setPointerCapture = () => {};" + "".join(events)


@needs_browser
def test_dragging_turns_moves_and_zooms(page, tmp_path):
    wheel = "canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: 100 }));"
    nothing, still, moved, back, smaller, turned = canvases(
        page,
        tmp_path,
        toggle("photo", "bodies"),
        toggle("bodies"),
        drag(40, 2),
        view("photo"),
        3 * wheel,
        view("photo") + drag(80, 1),
    )
    before, after, small = (extent((one != nothing).any(-1)) for one in (still, moved, smaller))
    # What is as far as the middle of the bodies moves with the mouse.
    assert after[0] - before[0] == pytest.approx(40, abs=8)
    np.testing.assert_array_equal(back, still)
    assert small[2] - small[0] < 0.8 * (before[2] - before[0])
    assert covered(turned, still) > 0.01


SIDES = {  # Right, up and towards the eye, as axes of the room: x right, y up, z to the camera.
    "side": [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
    "back": [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
    "above": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
}


@needs_browser
def test_from_where_the_sides_look(page, people, tmp_path):
    nothing, *seen = canvases(
        page, tmp_path, toggle("photo", "bodies"), toggle("bodies"), *map(view, SIDES)
    )
    height, width = nothing.shape[:2]
    points = np.concatenate([one.vertices + one.camera.place for one in people]) * [1, -1, -1]
    low, high = points.min(0), points.max(0)
    slope = max(240, 320 * height / width) / 2 / people[0].camera.focal
    far = 1.15 * np.linalg.norm(high - low) / 2 / np.sin(np.arctan(slope))
    for axes, picture in zip(SIDES.values(), seen[1:], strict=True):
        x, y, near = ((points - (low + high) / 2) @ np.array(axes).T).T
        flat = np.stack([x, -y]) / (far - near) * height / 2 / slope
        column, row = flat + np.array([[width], [height]]) / 2
        bodies = (picture != nothing).any(-1)
        expected = [column.min(), row.min(), column.max(), row.max()]
        np.testing.assert_allclose(extent(bodies), expected, atol=2.5)
        assert bodies[row.astype(int), column.astype(int)].mean() > 0.97


@needs_browser
def test_bones_of_people_far_away_are_thin(page, tmp_path):
    wheel = "canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: 100 }));"
    nothing, near, far = canvases(
        page, tmp_path, toggle("photo", "bodies"), toggle("skeleton"), 12 * wheel
    )
    # 12 turns of the wheel make all 4.2 times as small: length and width of a bone.
    assert 0 < covered(far, nothing) < covered(near, nothing) / 4.2**1.5


@needs_browser
def test_the_whole_page(page, people, tmp_path):
    picture = tmp_path / "shot.png"
    visit_late(page, tmp_path, "", f"--screenshot={picture}")
    with Image.open(picture) as image:
        shown = np.asarray(image.convert("RGB")).astype(int)
    assert coloured(shown, PHOTO).mean() > 0.1
    assert coloured(shown, (204, 194, 184), 40).mean() > 0.02  # clay
    assert shown[:, -250:].std() > 5  # the numbers
    printed = visit_late(page, tmp_path, "", "--dump-dom")
    aside = printed.split("<aside>")[1].split("</aside>")[0]
    assert "<h1>a &lt;/script&gt; &amp; &lt;b&gt;.jpg</h1>" in aside
    assert "320 x 240 pixels, field of view 50 degrees" in aside
    assert aside.count("<section>") == 2
    assert f"<td>{people[1].height:.2f} m</td>" in aside
