import pytest
import torch

from bilayer_graph.data import SyntheticBodies
from bilayer_graph.models import load_model
from bilayer_graph.training.evaluation import MeanBody, body_errors
from bilayer_graph.training.metrics import mpjpe, pve


@pytest.fixture(scope="module")
def shipped(body):
    return load_model(body=body)


@pytest.fixture(scope="module")
def held_out(body):
    return SyntheticBodies(body, 32, 128, seed=77).batch(range(32))


@torch.no_grad()
def test_far_better_than_the_mean_body(shipped, held_out, body):
    out = shipped(held_out["image"], held_out["keypoints"])
    errors = body_errors(out, held_out, shipped, body)
    # The mean of these very samples is a harder opponent than that of a training set.
    mean = MeanBody(held_out["joints"].mean(0), held_out["vertices"].mean(0)).errors(held_out)
    for name, error in mean.items():
        assert errors[name].mean() < 0.7 * error.mean(), name


@torch.no_grad()
def test_bfloat16_autocast_moves_little(shipped, held_out, device):
    model = shipped.to(device)
    image, keypoints = held_out["image"].to(device), held_out["keypoints"].to(device)
    wide = model(image, keypoints)
    with torch.autocast(device.type, torch.bfloat16):
        narrow = model(image, keypoints)
    model.cpu()
    assert mpjpe(narrow.joints, wide.joints).mean() < 5
    assert pve(narrow.vertices, wide.vertices).mean() < 5
