"""The snippets of docs/recover.md run, one after the other, and its tables name what there is."""

import re
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from bilayer_graph.person import FILES, Person
from bilayer_graph.pictures import read_keypoints

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/recover.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.filterwarnings("ignore:keypoints")
def test_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # One of the page's detectors guesses.
    torch.manual_seed(0)
    (tmp_path / "photos").mkdir()
    for place in ("photo.jpg", "photos/photo.jpg"):
        shutil.copy(ROOT / "examples/sample/person.jpg", place)
    people = read_keypoints(ROOT / "examples/sample/person.json").numpy()
    row = f'{{"keypoints": {people[0].flatten().tolist()}}}'
    (tmp_path / "photo.json").write_text(row)
    names: dict = {}
    for snippet in SNIPPETS:
        exec(snippet, names)
    assert len(SNIPPETS) == 8
    assert (tmp_path / "out/person_0/mesh.glb").is_file()
    assert Path("people.html").is_file()
    assert Path("out/motion.bvh").is_file()
    assert list(names["person"].joints2d.shape) == [12, 2]
    # A viewer's camera, as the page says to place it, sees the body where the picture has it.
    person, half = names["person"], np.radians(names["fov"]) / 2
    seen = np.asarray(person.mesh().vertices) + np.array([names[axis] for axis in "xyz"])
    scale = names["height"] / 2 / np.tan(half)
    flat = scale * seen[:, :2] / -seen[:, 2:] * [1, -1]
    expected = person.camera.project(person.vertices).numpy()
    middle = np.array([names["width"], names["height"]]) / 2
    np.testing.assert_allclose(flat + middle, expected, atol=0.05)


def test_tables():
    for field in fields(Person):
        assert f"`{field.name}`" in PAGE, field.name
    for file in FILES:
        assert f"`{file}`" in PAGE, file
