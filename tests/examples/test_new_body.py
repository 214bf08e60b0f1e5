import re

import pytest
from example_scripts import load_script
from PIL import Image

from bilayer_graph.body import BodyModel
from bilayer_graph.synthetic import SyntheticBodies

pytest.importorskip("pytorch_lightning")
script = load_script("new_body")


@pytest.fixture(scope="module")
def animal():
    return BodyModel.load(script.FILE)


@pytest.fixture(scope="module")
def batch(animal):
    return SyntheticBodies(animal, 16, script.SIZE, 3, script.quadruped(animal)).batch(range(16))


def test_the_page_trains_measures_and_draws(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(script, "BATCH", 4)
    monkeypatch.setattr(script, "MEAN", 8)
    monkeypatch.chdir(tmp_path)
    words = ["--steps", "2", "--held-out", "6", "--out", "deep/animal.png"]
    monkeypatch.setattr("sys.argv", ["new_body.py", *words])
    script.main()
    printed = capsys.readouterr().out
    number = r"\d+\.\d"
    assert re.search(rf"^model: MPJPE {number}, .*SMPL PVE {number}$", printed, re.MULTILINE)
    for name in ("mean body", "mean pose, true heading"):
        assert re.search(rf"^{name}: MPJPE {number}, .*, PVE {number}$", printed, re.MULTILINE)
    with Image.open("deep/animal.png") as picture:
        assert picture.size == (4 * script.PANEL, script.SHOWN * script.PANEL)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def test_the_detector_is_near(batch):
    found = batch["keypoints"][..., 2] > 0
    assert 0.7 < found.float().mean() < 1.0
    assert (batch["keypoints"][~found] == 0).all()
    assert not found[(batch["keypoints_true"].abs() > 1).any(-1)].any()
    gap = (batch["keypoints"][..., :2] - batch["keypoints_true"]).norm(dim=-1)[found]
    assert 0.01 < gap.mean() < 0.08
