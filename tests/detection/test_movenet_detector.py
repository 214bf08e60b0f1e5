import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bilayer_graph.detection import DetectedPerson, Detector, MoveNetDetector
from bilayer_graph.detection import movenet_detector as module
from bilayer_graph.detection.weights_file import WEIGHTS, load_movenet
from bilayer_graph.errors import InputError

SAMPLE = Path(__file__).parents[2] / "examples" / "sample"
HASHES = {
    "multipose": "93b00c89bce4ba18a3ec3cfe05462107712a0d27e7c9a87adb501880b34aa63b",
    "thunder": "d8fb557b6dc0c883179c9329a35169030fa350be1055995ffca91eb6534b8f1c",
}


@pytest.fixture(scope="module")
def detector():
    return MoveNetDetector.load()


@pytest.fixture(scope="module")
def sample():
    pixels = np.array(Image.open(SAMPLE / "person.jpg").convert("RGB"))
    (person,) = json.loads((SAMPLE / "person.json").read_text())
    true = torch.tensor(person["keypoints"]).view(17, 3)
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255, true


def joint_errors(person, true):
    """Distance of each known joint in shares of the person's longer side."""
    known = true[:, 2] > 0
    points = true[known, :2]
    size = (points.amax(0) - points.amin(0)).max()
    return (person.keypoints[known, :2] - points).norm(dim=-1) / size


def shrunk(image, side):
    return torch.nn.functional.interpolate(image[None], side, mode="bilinear", antialias=True)[0]


def assert_same(people, others):
    assert len(people) == len(others)
    for person, other in zip(people, others, strict=True):
        torch.testing.assert_close(person.keypoints, other.keypoints, atol=0.05, rtol=1e-3)
        torch.testing.assert_close(person.box, other.box, atol=0.05, rtol=1e-3)
        assert person.score == pytest.approx(other.score, abs=1e-3)
        assert person.uncertain == other.uncertain


@pytest.mark.parametrize("name", HASHES)
def test_shipped_weights(name):
    assert (
        hashlib.sha256((WEIGHTS / f"{name}.safetensors").read_bytes()).hexdigest() == HASHES[name]
    )


def test_sample(detector, sample):
    image, true = sample
    finder: Detector = detector
    (person,) = finder(image)
    assert isinstance(person, DetectedPerson)
    assert not person.uncertain
    assert person.score > 0.5
    assert float(joint_errors(person, true).max()) < 0.05
    assert person.keypoints.shape == (17, 3)
    assert not person.keypoints.is_inference()
    assert bool((person.keypoints[:, 2] >= 0).all() & (person.keypoints[:, 2] <= 1).all())
    x0, y0, x1, y1 = person.box.tolist()
    assert 0 < x0 < x1 < 512
    assert 0 < y0 < y1 < 512


def test_several_small_people(detector, sample):
    """Six copies of the sample, too small for the first look alone."""
    image, _ = sample
    small = shrunk(image, 128)
    picture = torch.cat([torch.cat([small, small.flip(2), small], 2)] * 2, 1)
    people = detector(picture)
    assert len(people) == 6
    assert [p.score for p in people] == sorted((p.score for p in people), reverse=True)
    columns = sorted(
        (int(p.box[:3:2].mean() // 128), int(p.box[1::2].mean() // 128)) for p in people
    )
    assert columns == [(i, j) for i in range(3) for j in range(2)]


def test_batch_is_a_loop(detector, sample):
    image, _ = sample
    images = [image, shrunk(image, 96), image[:, :, 30:], torch.zeros(3, 40, 90), image.flip(2)]
    together = detector.detect(images)
    for alone, people in zip(images, together, strict=True):
        assert_same(detector(alone), people)
    detector.batch_size = 2
    for people, others in zip(detector.detect(images), together, strict=True):
        assert_same(people, others)
    detector.batch_size = 8
    assert detector.detect([]) == []


def test_a_larger_picture_moves_the_joints_along(detector, sample):
    """The same person, moved within a wider picture of more pixels."""
    image, true = sample
    grey = torch.full((3, 512, 200), 0.5)
    picture = torch.cat([grey, image], 2)
    double = torch.nn.functional.interpolate(picture[None], scale_factor=2.0)[0]
    (person,) = detector(double)
    person.keypoints[:, :2] /= 2
    person.keypoints[:, 0] -= 200
    assert float(joint_errors(person, true).max()) < 0.06


@pytest.mark.parametrize("fill", ["black", "white", "noise", "gradient"])
def test_empty_pictures(detector, fill):
    random = torch.Generator().manual_seed(0)
    picture = {
        "black": torch.zeros(3, 60, 80),
        "white": torch.ones(3, 300, 1),
        "noise": torch.rand(3, 256, 256, generator=random),
        "gradient": torch.linspace(0, 1, 256).expand(3, 100, 256),
    }[fill]
    assert detector(picture) == []


def test_uncertain_when_nobody_passes(sample):
    image, true = sample
    strict = MoveNetDetector.load(threshold=0.99)
    (person,) = strict(image)
    assert person.uncertain
    assert float(joint_errors(person, true).max()) < 0.05
    assert MoveNetDetector.load(threshold=0.99, floor=0.98)(image) == []


def test_drifted_second_look_is_dropped(sample):
    _, true = sample
    first = true.clone()
    first[:, 2] = 1
    moved = first + torch.tensor([300.0, 0.0, 0.0])
    assert module.better(first, first + 1) is not first
    assert module.better(first, moved) is first


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "Divide 8-bit pixels by 255"),
        (torch.full((3, 8, 8), 255.0), "Divide 8-bit pixels by 255"),
        (torch.full((3, 8, 8), -1.0), "outside of"),
        (torch.full((3, 8, 8), torch.nan), "NaN"),
        (torch.full((3, 8, 8), torch.inf), "infinity"),
        (torch.zeros(1, 3, 8, 8), r"\[1, 3, 8, 8\]"),
        (torch.zeros(8, 8, 3), r"\[8, 8, 3\]"),
        (torch.zeros(3, 0, 8), r"\[3, 0, 8\]"),
        (np.zeros((3, 8, 8)), "not a tensor"),
    ],
)
def test_bad_pictures(detector, image, words):
    with pytest.raises(InputError, match=words):
        detector(image)


def test_double_precision_is_welcome(detector, sample):
    small = shrunk(sample[0], 128)
    assert_same(detector(small.double()), detector(small))


def test_missing_weights(monkeypatch, tmp_path):
    monkeypatch.setattr("bilayer_graph.detection.weights_file.WEIGHTS", tmp_path)
    with pytest.raises(InputError, match="Install the package again"):
        load_movenet("thunder")


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_person_is_found(detector, sample, quarters):
    """Lying on either side, and upside down: the joints are those of the upright picture."""
    image, true = sample
    people = detector(module.turned(image, quarters))
    assert len(people) == 1
    people[0].keypoints[:] = module.turned_back(people[0].keypoints, quarters, 512, 512)
    assert float(joint_errors(people[0], true).max()) < 0.1
