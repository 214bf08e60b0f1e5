"""A detector that remembers where people were."""

import pytest
import torch
from predictors import someone

from bilayer_graph.detection import MoveNetDetector
from bilayer_graph.detection.tracked import TrackedDetector, to_upright
from bilayer_graph.detection.turned import turned
from bilayer_graph.pictures import read_image, to_tensor


@pytest.fixture(scope="module")
def detector():
    return MoveNetDetector.load()


@pytest.fixture(scope="module")
def photo():
    picture = read_image("examples/sample/person.jpg").resize((320, 320))
    return to_tensor(picture)


def shifted(image, columns):
    return torch.nn.functional.pad(image, (columns, 0))[..., : image.shape[-1]]


def size(keypoints):
    return float((keypoints[:, :2].amax(0) - keypoints[:, :2].amin(0)).max())


def counted(detector, monkeypatch):
    """Count the searches of whole pictures."""
    searches = []
    detect = MoveNetDetector.detect

    def count(self, images):
        searches.append(len(images))
        return detect(self, images)

    monkeypatch.setattr(MoveNetDetector, "detect", count)
    return searches


@pytest.mark.parametrize("quarters", [0, 1, 3])
def test_somebody_who_moves_is_followed_without_a_search(detector, photo, monkeypatch, quarters):
    """Also lying: the looks agree with those at the whole picture."""
    searches = counted(detector, monkeypatch)
    tracked = TrackedDetector(detector)
    for columns in (0, 6, 12):
        frame = turned(shifted(photo, columns), quarters)
        (person,) = tracked(frame)
        if columns == 0:
            first = person.keypoints
    assert searches == [1]
    (alone,) = detector(frame)
    apart = (person.keypoints[:, :2] - alone.keypoints[:, :2]).norm(dim=1)
    assert apart.mean() < 0.03 * size(alone.keypoints)
    moved = (person.keypoints[:, :2] - first[:, :2]).norm(dim=1).median()
    assert float(moved) == pytest.approx(12, abs=4)


def test_patches_are_those_of_the_upright_look(detector, photo):
    """At the keypoints, in the coordinates of the crop; whoever lies has none."""
    given = []

    def patches(maps, keypoints):
        given.append((maps, keypoints))
        return keypoints.new_ones(len(keypoints), 17, 2)

    for quarters, seen in ((0, True), (1, False)):
        tracked = TrackedDetector(detector, patches)
        frame = turned(photo, quarters)
        (searched,), (looked,) = tracked(frame), tracked(frame)
        assert getattr(searched, "patches", None) is None
        assert (looked.patches is not None) == seen
    maps, keypoints = given[0]
    assert [m.shape[2:] for m in maps] == [(s, s) for s in (64, 32, 16, 8, 64)]
    # Thunder's own heat at a joint, looked up where the patches would be.
    heat = detector.refiner.heads["heatmap"](maps[-1])[0].sigmoid()
    place = ((keypoints[0, :, :2] + 1) / 2 * 64).long().clamp(0, 63)
    sure = keypoints[0, :, 2] > 0.5
    assert sure.sum() > 8
    peaks = heat[torch.arange(17), place[:, 1], place[:, 0]]
    assert (peaks[sure] > 0.3).all()


def test_who_is_gone_is_given_up_and_who_comes_is_found(detector, photo, monkeypatch):
    searches = counted(detector, monkeypatch)
    tracked = TrackedDetector(detector, soon=2)
    empty = torch.full_like(photo, 0.5)
    assert [len(tracked(frame)) for frame in (photo, empty, empty, empty)] == [1, 0, 0, 0]
    assert len(searches) == 2
    assert len(tracked(photo)) == 1
    assert len(searches) == 3


def test_the_whole_picture_is_searched_now_and_then(detector, photo, monkeypatch):
    searches = counted(detector, monkeypatch)
    tracked = TrackedDetector(detector, every=2)
    double = torch.cat([photo, photo], dim=2)
    alone = torch.cat([photo, photo[..., :4].mean(2, keepdim=True).expand_as(photo)], dim=2)
    assert [len(tracked(frame)) for frame in (alone, alone, double)] == [1, 1, 2]
    assert len(searches) == 2


@pytest.mark.parametrize("quarters", range(4))
def test_turns_that_put_a_trunk_upright(quarters):
    x, y = someone().keypoints[:, :2].T
    around = {0: (x, y), 1: (-y, x), 2: (-x, -y), 3: (y, -x)}[quarters]  # clockwise, y down
    keypoints = torch.stack([*around, torch.ones(17)], dim=1)
    assert to_upright(keypoints) == quarters
    keypoints[5, 2] = 0.0  # a shoulder that nobody sees
    assert to_upright(keypoints) == 0
