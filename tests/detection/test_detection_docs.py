"""The snippets of docs/detection.md run, the adapters with stand-ins for the libraries."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
import torch

from bilayer_graph.detection import DetectedPerson

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "detection.md").read_text()
ADAPTERS = re.findall(r"```py\n(.*?)```", PAGE, flags=re.DOTALL)
POINTS = torch.rand(2, 17, 2, generator=torch.Generator().manual_seed(0)) * 40


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
        logits = torch.zeros(2, 17)
        boxes = torch.tensor([[0.0, 0, 40, 40]] * 2)
        ones = torch.ones(2, 17, 1)
        return [
            {
                "keypoints": torch.cat([POINTS, ones], 2),
                "keypoints_scores": logits,
                "boxes": boxes,
                "scores": torch.tensor([0.9, 0.1]),
            }
        ]


class FakeProcessor:
    def __call__(self, pixels, boxes, return_tensors):
        assert pixels.dtype == np.uint8
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
    top = Namespace(ImageFormat=Namespace(SRGB=1), Image=lambda kind, pixels: pixels)
    python = Namespace(BaseOptions=lambda path: None, vision=vision)
    return {"mediapipe": top, "mediapipe.tasks": Namespace(), "mediapipe.tasks.python": python}


@pytest.mark.parametrize(
    ("name", "libraries"),
    [
        ("KeypointRCNN", dict),
        ("RTMPose", rtmlib),
        ("ViTPose", transformers),
        ("MediaPipe", mediapipe),
    ],
)
def test_adapters(monkeypatch, name, libraries):
    for library, stand_in in libraries().items():
        monkeypatch.setitem(sys.modules, library, stand_in)
    monkeypatch.setattr(
        "torchvision.models.detection.keypointrcnn_resnet50_fpn", lambda weights: FakeRCNN()
    )
    (snippet,) = (text for text in ADAPTERS if f"class {name}:" in text)
    assert len(snippet.splitlines()) < 30
    names: dict = {}
    exec(snippet, names)
    detector = names[name]()
    if name == "ViTPose":
        box = torch.tensor([0.0, 0, 40, 40])
        detector.finder = lambda image: [DetectedPerson(torch.zeros(17, 3), box, 0.5)]
    (person,) = detector(torch.rand(3, 48, 64))
    expected = torch.cat([POINTS[0], torch.full((17, 1), 0.5)], dim=1)
    torch.testing.assert_close(person.keypoints, expected)
    assert person.box.shape == (4,)
