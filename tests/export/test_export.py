"""Exported files give torch's numbers, for batches of any size."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from predictors import TINY, body_model, tiny_model

from bilayer_graph.cli.main import main
from bilayer_graph.detection import MoveNetDetector
from bilayer_graph.detection.crops import fit
from bilayer_graph.detection.decode import decode_people, decode_person
from bilayer_graph.errors import InputError
from bilayer_graph.export import PRECISIONS, export_detector, export_model, onnx_file
from bilayer_graph.models import HMROutput, ModelConfig, assemble_model, load_model
from bilayer_graph.pictures import crop_image, keypoints_box, read_keypoints, to_crop

onnx = pytest.importorskip("onnx")
ReferenceEvaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

SAMPLE = Path(__file__).parents[2] / "examples/sample"
FIELDS = [field.name for field in fields(HMROutput)]
PAPER = ModelConfig("plain", 64, 431, 32, 2, hidden=32)
"""The paper's structure, small: GroupNorm, patches and pooled feature, nearest rotations."""


@pytest.fixture(scope="module")
def paper():
    torch.manual_seed(0)
    return assemble_model(PAPER, body_model()).eval()


@pytest.fixture(scope="module")
def shipped(shipped_file):
    """The shipped model, and its file."""
    assert [file.name for file in shipped_file.parent.iterdir()] == ["model.onnx"]
    return load_model(), session(shipped_file)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Reference:
    """The reference implementation of ONNX, called as a session is."""

    def __init__(self, path):
        self.file = onnx.load(path)
        self.run = ReferenceEvaluator(self.file).run

    def get_inputs(self):
        return self.file.graph.input


def sample(model):
    """The person of the sample picture as the model sees it, and the mirror image."""
    keypoints = read_keypoints(SAMPLE / "person.json")
    centre, side = keypoints_box(keypoints)
    points = torch.cat([to_crop(keypoints[..., :2], centre, side), keypoints[..., 2:]], -1)
    picture = Image.open(SAMPLE / "person.jpg").convert("RGB")
    image = crop_image(picture, centre[0], side[0], model.image_size)
    flipped = points[0] * torch.tensor([-1.0, 1, 1])
    return torch.stack([image, image.flip(-1)]), model.from_coco(torch.stack([points[0], flipped]))


@torch.no_grad()
def assert_same(model, run, image, keypoints, tolerance=1e-4):
    """Compare every output; return the largest distance of vertices in metres."""
    given = {"image": image, "keypoints": keypoints}
    names = [part.name for part in run.get_inputs()]
    outputs = run.run(FIELDS, {name: given[name].numpy() for name in names})
    wanted = model(image if "image" in names else None, keypoints)
    for name, values in zip(FIELDS, outputs, strict=True):
        expected = getattr(wanted, name)
        assert values.shape == expected.shape, name
        assert values.dtype == "float32", name
        assert (torch.from_numpy(values) - expected).abs().max() <= tolerance, name
    return (torch.from_numpy(outputs[1]) - wanted.vertices).norm(dim=-1).max()


def test_the_shipped_model_on_the_sample_picture(shipped):
    model, run = shipped
    image, keypoints = sample(model)
    assert_same(model, run, image, keypoints)
    missing = keypoints.repeat(3, 1, 1)[:5]
    missing[0, 3:9], missing[1, 2, 2], missing[2, 5, 0] = 0, 0, float("nan")
    assert_same(model, run, image.repeat(3, 1, 1, 1)[:5], missing)
    assert_same(model, run, image[:1], keypoints[:1])


def test_sizes_say_what_fits(shipped):
    _, run = shipped
    shapes = {part.name: part.shape for part in [*run.get_inputs(), *run.get_outputs()]}
    assert shapes["image"] == ["batch", 3, 256, 256]
    assert shapes["keypoints"] == ["batch", 17, 3]
    assert shapes["vertices"] == ["batch", 431, 3]
    assert list(shapes) == ["image", "keypoints", *FIELDS]


def test_one_broken_person_costs_that_person_only(shipped):
    model, run = shipped
    image, keypoints = sample(model)
    broken = image.clone()
    broken[1, 0, 100:] = float("nan")
    sound, spoilt = (
        run.run(FIELDS, {"image": x.numpy(), "keypoints": keypoints.numpy()})
        for x in (image, broken)
    )
    for one, other in zip(sound, spoilt, strict=True):
        assert abs(one[0] - other[0]).max() < 1e-5


def test_the_papers_structure(paper, tmp_path):
    export_model(paper, tmp_path / "paper.onnx")
    image, keypoints = sample(paper)
    run = session(tmp_path / "paper.onnx")
    assert_same(paper, run, image, keypoints)
    assert_same(paper, run, image.repeat(2, 1, 1, 1)[:3], keypoints.repeat(2, 1, 1)[:3])


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_precisions(precision, tmp_path):
    model = tiny_model(replace(TINY, channels=32, hidden=64))
    _, keypoints = sample(model)
    export_model(model, tmp_path / "small.onnx", precision)
    # onnxruntime has few operations in bfloat16 on a CPU, the reference of ONNX has all.
    open_file = Reference if precision == "bfloat16" else session
    run = open_file(tmp_path / "small.onnx")
    moved = assert_same(model, run, None, keypoints, tolerance=0.1)
    if precision == "int8":
        kinds = [node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node]
        assert kinds.count("MatMulInteger") > 20
    # It is another precision, and close.
    assert 1e-6 < moved < 0.03
    assert next(model.parameters()).dtype == torch.float32


@torch.no_grad()
def test_the_detector(tmp_path):
    detector = MoveNetDetector.load()
    files = tmp_path / "finder.onnx", tmp_path / "refiner.onnx"
    export_detector(detector, *files)
    finder, refiner = (session(file) for file in files)
    picture = torch.from_numpy(np.array(Image.open(SAMPLE / "person.jpg")))
    picture = picture.permute(2, 0, 1) / 255
    for side, batch in ((256, 1), (384, 3)):
        image = fit(picture, side).pixels.expand(batch, -1, -1, -1)
        found = finder.run(["keypoints", "boxes", "scores"], {"image": image.numpy()})
        for values, expected in zip(found, decode_people(*detector.finder(image)), strict=True):
            assert (torch.from_numpy(values) - expected).abs().max() < 1e-2
    image = torch.nn.functional.interpolate(picture[None], (256, 256)).expand(3, -1, -1, -1)
    (keypoints,) = refiner.run(["keypoints"], {"image": image.numpy()})
    expected = decode_person(*detector.refiner(image))
    assert (torch.from_numpy(keypoints) - expected).abs().max() < 1e-2


@torch.no_grad()
@pytest.mark.parametrize("config", [PAPER, TINY], ids=["paper", "small"])
def test_torch_export_of_the_whole_model(config):
    model = tiny_model(config)
    image, keypoints = sample(model)
    image = image if model.encoder else None
    batch = {0: torch.export.Dim("batch")}
    shapes = (batch if model.encoder else None, batch)
    program = torch.export.export(model, (image, keypoints), dynamic_shapes=shapes)
    for number in (1, 2, 5):
        some = None if image is None else image[:1].expand(number, -1, -1, -1)
        out = program.module()(some, keypoints[:1].expand(number, -1, -1))
        assert isinstance(out, HMROutput)
        for name, expected in vars(model(some, keypoints[:1].expand(number, -1, -1))).items():
            assert (getattr(out, name) - expected).abs().max() < 1e-5, name


# ---- Bad input ----------------------------------------------------------------------------------


def test_no_such_precision(paper, tmp_path):
    with pytest.raises(InputError, match=r"^precision=int4: no such precision.*float32"):
        export_model(paper, tmp_path / "x.onnx", "int4")


def test_missing_library(paper, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^onnx=onnx, onnxscript: not installed.*\[export\]"):
        export_model(paper, tmp_path / "x.onnx")


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("too late"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^onnx=.*cannot be written"):
        export_model(tiny_model(), tmp_path / "file/x.onnx")


def test_no_onnx_file(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--onnx", "model.pt"])
    assert "model.pt is no .onnx file" in capsys.readouterr().err
