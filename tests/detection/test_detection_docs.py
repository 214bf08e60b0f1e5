"""The snippets of docs/detection.md run, the adapters with stand-ins for the libraries."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace as Namespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.models.detection import keypointrcnn_resnet50_fpn

from bilayer_graph.detection import DetectedPerson
from bilayer_graph.errors import InputError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "detection.md").read_text()
ADAPTERS = re.findall(r"```py\n(.*?)```", PAGE, flags=re.DOTALL)
POINTS = torch.rand(2, 17, 2, generator=torch.Generator().manual_seed(0)) * 40
RCNN = "torchvision.models.detection.keypointrcnn_resnet50_fpn"
BOX = torch.tensor([3.0, 4, 40, 44])


def test_snippet_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict = {}
    exec(snippet, names)
    assert [len(people) for people in names["both"]] == [1, 1]


class FakeRCNN:
    def eval(self):
        return self

    def __call__(self, images):
        assert images[0].shape == (3, 48, 64)
        found = {"keypoints": torch.cat([POINTS, torch.ones(2, 17, 1)], 2)}
        found |= {"keypoints_scores": torch.zeros(2, 17), "boxes": torch.stack([BOX, BOX])}
        return [found | {"scores": torch.tensor([0.9, 0.1])}]


class FakeProcessor:
    def __call__(self, pixels, boxes, return_tensors):
        assert pixels.dtype == np.uint8
        assert pixels.shape == (48, 64, 3)
        # COCO's boxes: corner and size.
        assert [box.tolist() for box in boxes] == [[[3, 4, 37, 40]]]
        return {"boxes": boxes}

    def post_process_pose_estimation(self, outputs, boxes):
        return [[{"keypoints": POINTS[0] - 0.5, "scores": torch.full((17,), 0.5)}]]


class FakeVitPose:
    def eval(self):
        return self

    def __call__(self, boxes):
        return boxes


def rtmlib():
    def body(pixels):
        assert pixels.dtype == np.uint8
        assert pixels.shape == (48, 64, 3)
        return POINTS.double().numpy() - 0.5, np.array([[0.5] * 17, [0.1] * 17])

    return {"rtmlib": Namespace(Body=lambda **_: body)}


def transformers():
    return {
        "transformers": Namespace(
            AutoProcessor=Namespace(from_pretrained=lambda name: FakeProcessor()),
            VitPoseForPoseEstimation=Namespace(from_pretrained=lambda name: FakeVitPose()),
        )
    }


def mediapipe():
    places = torch.zeros(33, 2)
    places[[0, 2, 5, 7, 8, *range(11, 17), *range(23, 29)]] = POINTS[0] / torch.tensor([64.0, 48.0])
    marks = [Namespace(x=float(x), y=float(y), visibility=0.5) for x, y in places]
    landmarker = Namespace(detect=lambda image: Namespace(pose_landmarks=[marks]))
    vision = Namespace(
        PoseLandmarkerOptions=lambda base, num_poses: None,
        PoseLandmarker=Namespace(create_from_options=lambda options: landmarker),
    )

    def image(kind, pixels):
        assert (kind, pixels.dtype, pixels.shape) == ("SRGB", np.uint8, (48, 64, 3))

    top = Namespace(ImageFormat=Namespace(SRGB="SRGB"), Image=image)
    python = Namespace(BaseOptions=lambda path: None, vision=vision)
    return {"mediapipe": top, "mediapipe.tasks": Namespace(), "mediapipe.tasks.python": python}


def adapter(name):
    """A class of the page."""
    (snippet,) = (text for text in ADAPTERS if f"class {name}:" in text)
    assert len(snippet.splitlines()) < 30
    names: dict = {}
    exec(snippet, names)
    return names[name]


@pytest.mark.parametrize(
    ("name", "libraries", "has_boxes"),
    [
        ("KeypointRCNN", dict, True),
        ("RTMPose", rtmlib, False),
        ("ViTPose", transformers, True),
        ("MediaPipe", mediapipe, False),
    ],
)
def test_adapters(monkeypatch, name, libraries, has_boxes):
    for library, stand_in in libraries().items():
        monkeypatch.setitem(sys.modules, library, stand_in)
    monkeypatch.setattr(RCNN, lambda weights: FakeRCNN())
    detector = adapter(name)()
    if name == "ViTPose":
        detector.finder = lambda image: [DetectedPerson(torch.zeros(17, 3), BOX, 0.5)]
    (person,) = detector(torch.rand(3, 48, 64))
    expected = torch.cat([POINTS[0], torch.full((17, 1), 0.5)], dim=1)
    torch.testing.assert_close(person.keypoints, expected)
    corners = torch.cat([POINTS[0].amin(0), POINTS[0].amax(0)])
    torch.testing.assert_close(person.box, BOX if has_boxes else corners)


def test_keypoint_rcnn_itself(monkeypatch):
    torch.manual_seed(0)
    model = keypointrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, min_size=64, max_size=64, box_detections_per_img=3
    )
    monkeypatch.setattr(RCNN, lambda weights: model)
    image = torch.rand(3, 48, 64)
    people = adapter("KeypointRCNN")(threshold=0.0)(image)
    found = model([image])[0]
    assert len(people) == len(found["scores"]) > 0
    for person, points, box in zip(people, found["keypoints"], found["boxes"], strict=True):
        torch.testing.assert_close(person.keypoints[:, :2], points[:, :2])
        assert ((person.keypoints[:, 2] >= 0) & (person.keypoints[:, 2] <= 1)).all()
        torch.testing.assert_close(person.box, box)


def test_keypoint_rcnn_offline(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    with pytest.raises(InputError) as error:
        adapter("KeypointRCNN")()
    for part in ("weights=https://", ".pth: no download", f"put it into {tmp_path}/checkpoints"):
        assert part in str(error.value)
