import numpy as np
import pytest
import torch
from example_scripts import write_coco
from PIL import Image

from bilayer_graph.body import BodyModel, project
from bilayer_graph.models import build_model, save_model


@pytest.fixture(scope="session")
def body():
    return BodyModel.load()


@pytest.fixture(scope="session")
def weights(tmp_path_factory, body):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(build_model("small", body), path)
    return path


@pytest.fixture(scope="session")
def pixels(body):
    """The 12 joints of an upright person in a picture of 320 x 240 pixels, [12, 2]."""
    upside = torch.diag(torch.tensor([1.0, -1.0, -1.0]))[None]
    posed = body(torch.zeros(1, 10), torch.eye(3).expand(1, 23, 3, 3), upside)
    camera = torch.tensor([[0.8, 0.0, 0.0]])
    return (
        project(body.joints(posed.vertices), camera)[0] * 100 + torch.tensor([160.0, 120.0])
    ).numpy()


@pytest.fixture
def photo(tmp_path, pixels):
    """A picture with COCO keypoints of one person beside it."""
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    write_coco(path.with_suffix(".json"), [pixels])
    return path
