"""A few pictures: who is kept, the predictor's crop, parts that are gone on with."""

import json

import picture_features as tool
import pytest
import torch
from torch import nn

from bilayer_graph.detection import DetectedPerson
from bilayer_graph.synthetic.cached_pictures import read_people
from bilayer_graph.synthetic.noise_bank import read_observations


class Knows:
    """A detector that is told the true keypoints, and misses the first of each call."""

    def __init__(self):
        self.truth, self.stops = {}, False

    def detect(self, pictures):
        if self.stops:
            raise KeyboardInterrupt
        found = [[self.truth[float(picture.sum())]] for picture in pictures]
        return [[], *found[1:]]


class Plain(nn.Module):
    """An encoder whose maps are the picture itself and its mirror image."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, image):
        self.shown.append(image)
        return [image, image.flip(3)], image.mean((2, 3))


@pytest.fixture
def parts(monkeypatch):
    """Detector and encoder that the tool uses."""
    detector, encoder = Knows(), Plain()
    render = tool.Scenes.__getitems__

    def rendered(scenes, indices):
        samples = render(scenes, indices)
        for sample in samples:
            keypoints = torch.cat([sample["keypoints_true"], torch.full((17, 1), 0.8)], dim=1)
            person = DetectedPerson(keypoints, torch.zeros(4), 0.5)
            detector.truth[float(sample["picture"].sum())] = person
        return samples

    monkeypatch.setattr(tool.Scenes, "__getitems__", rendered)
    monkeypatch.setattr(tool.MoveNetDetector, "load", lambda: detector)
    monkeypatch.setattr(tool, "MoveNetEncoder", lambda: encoder)
    monkeypatch.setattr(tool, "PART", 4)
    monkeypatch.setattr(tool, "SIZES", ((48, 48),))
    monkeypatch.setattr(tool, "_POSTURES", 20)
    return detector, encoder


def test_parts_are_gone_on_with_and_give_the_same_bits(parts, tmp_path, capsys):
    detector, encoder = parts
    words = ["--samples", "6", "--held-out", "3", "--seed", "3", "--out"]
    assert tool.main([*words, str(tmp_path / "a")]) == 0
    first = read_people(tmp_path / "a" / "train")
    assert 2 <= len(first.focal) <= 4
    assert first.patches.shape[1:] == (17, 6)
    assert encoder.shown[0].shape[1:] == (3, 256, 256)
    assert len(read_people(tmp_path / "a" / "held_out").focal) <= 2

    detector.stops = True
    with pytest.raises(KeyboardInterrupt):
        tool.main([*words, str(tmp_path / "b")])
    detector.stops = False
    assert tool.main([*words, str(tmp_path / "b")]) == 0
    again = read_people(tmp_path / "b" / "train")
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)

    banks = [(tmp_path / name / tool.BANK).read_bytes() for name in "ab"]
    assert banks[0] == banks[1]
    bank = read_observations(tmp_path / "a" / tool.BANK)
    assert len(bank.points) == len(first.focal)
    # This detector errs by nothing.
    torch.testing.assert_close(bank.errors, torch.zeros_like(bank.errors), atol=1e-3, rtol=0)
    assert torch.equal(bank.hidden, ~first.visible)

    assert json.loads((tmp_path / "a" / "settings.json").read_text())["samples"] == "6"
    assert tool.main(["--samples", "7", "--out", str(tmp_path / "a")]) == 2
    assert "holds pictures of other settings" in capsys.readouterr().err


def test_who_is_kept():
    true = torch.rand(17, 2) * 80 + 10
    sample = {
        "picture": torch.zeros(3, 100, 100),
        "keypoints_true": true,
        "visible": torch.ones(17, dtype=torch.bool),
    }
    found = torch.cat([true, torch.ones(17, 1)], dim=1)
    assert tool.is_found(sample, found)
    assert not tool.is_found(sample, found + torch.tensor([60.0, 0, 0]))
    assert not tool.is_found(sample, torch.zeros(17, 3))
    assert not tool.is_found(sample | {"visible": torch.zeros(17, dtype=torch.bool)}, found)


def test_best_match_is_the_nearest_person():
    points = torch.arange(34.0).view(17, 2)
    visible = torch.ones(17, dtype=torch.bool)
    people = [
        DetectedPerson(torch.cat([points + shift, torch.ones(17, 1)], 1), torch.zeros(4), 0.5)
        for shift in (40, 2, 90)
    ]
    assert torch.equal(tool.best_match(people, points, visible), people[1].keypoints)
    assert torch.equal(tool.best_match([], points, visible), torch.zeros(17, 3))


def test_unknown_clip_is_an_error(tmp_path, capsys):
    missing = tmp_path / "none.npz"
    assert tool.main(["--poses", str(missing), "--out", str(tmp_path / "a")]) == 2
    assert "none.npz" in capsys.readouterr().err
