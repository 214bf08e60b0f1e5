"""The bank of a few pictures: matched people, parts that are gone on with, the same bits again."""

import noise_bank as tool
import pytest
import torch

from bilayer_graph.detection import DetectedPerson
from bilayer_graph.synthetic.noise_bank import read_observations


class Marker:
    """A detector that finds two people, the same in every picture but the first."""

    def __init__(self):
        self.calls = 0
        self.stops_at = None

    def bfloat16(self):
        return self

    def detect(self, pictures):
        if self.calls == self.stops_at:
            raise KeyboardInterrupt
        self.calls += 1
        return [self.people(number) for number in range(len(pictures))]

    def people(self, number):
        if number == 0:
            return []
        keypoints = torch.full((17, 3), 0.5)
        keypoints[:, :2] = torch.arange(17).view(-1, 1) + 100.0
        return [DetectedPerson(keypoints + shift, torch.zeros(4), 0.5) for shift in (500, 0)]


@pytest.fixture
def marker(monkeypatch):
    marker = Marker()
    monkeypatch.setattr(tool.MoveNetDetector, "load", lambda: marker)
    monkeypatch.setattr(tool, "PART", 10)
    monkeypatch.setattr(tool, "SIZES", ((48, 48),))
    monkeypatch.setattr(tool, "_POSTURES", 20)
    return marker


def test_parts_are_gone_on_with_and_give_the_same_bits(marker, tmp_path, monkeypatch):
    words = ["--samples", "25", "--seed", "3", "--out"]
    assert tool.main([*words, str(tmp_path / "a.safetensors")]) == 0
    assert marker.calls == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]

    marker.stops_at = 5
    with pytest.raises(KeyboardInterrupt):
        tool.main([*words, str(tmp_path / "b.safetensors")])
    marker.stops_at = None
    assert tool.main([*words, str(tmp_path / "b.safetensors")]) == 0
    assert marker.calls == 6
    first, second = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "ab")
    assert first == second
    assert len(read_observations(tmp_path / "a.safetensors").points) == 25


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
    assert tool.main(["--poses", str(missing), "--out", str(tmp_path / "a.safetensors")]) == 2
    assert "none.npz" in capsys.readouterr().err
