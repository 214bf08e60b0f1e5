"""The weights that the package ships are good for people that nobody trained on."""

import pytest
import torch
from model_samples import BLIND

from bilayer_graph.models import SMALL, load_model, load_pretrained
from bilayer_graph.models.lifting import Crops, lift
from bilayer_graph.synthetic import GeometrySamples, PoseBank
from bilayer_graph.testing import assert_close
from bilayer_graph.training.evaluation import MeanBody
from bilayer_graph.training.lifted_errors import lifted_errors, mesh_quality
from bilayer_graph.training.metrics import mpjpe, pve


@pytest.fixture(scope="module")
def shipped(body):
    return load_model(body=body)


@pytest.fixture(scope="module")
def samples(body, shipped):
    """People as a detector sees them, and the same with true keypoints."""
    poses = PoseBank(body, seed=77, postures=200)
    index = shipped.vertex_index
    return [
        GeometrySamples(body, index, poses, 100, 1, seed=77, noise=noise)[0]
        for noise in (True, False)
    ]


def test_are_the_small_variants(shipped):
    assert shipped.config in (SMALL, BLIND)
    again = load_pretrained("small").state_dict()
    assert all(torch.equal(again[name], x) for name, x in shipped.state_dict().items())


def test_far_better_than_the_mean_body(shipped, samples, body):
    for batch, share in zip(samples, (0.6, 0.45), strict=True):
        # The mean of these very samples is a harder opponent than that of a training set.
        mean = MeanBody(batch["joints"].mean(0), batch["vertices"].mean(0)).errors(batch)
        errors = lifted_errors(shipped, body, batch)
        for name, key in {"mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "pve": "PVE"}.items():
            assert errors[key].mean() < share * mean[name].mean(), name


def test_flip_and_refinement_help(shipped, samples, body):
    batch = samples[1]
    plain = lifted_errors(shipped, body, batch, flip=False, refine=False)
    flipped = lifted_errors(shipped, body, batch, refine=False)
    whole = lifted_errors(shipped, body, batch)
    assert flipped["PA-MPJPE"].mean() < plain["PA-MPJPE"].mean()
    assert whole["near"].mean() > flipped["near"].mean()
    assert whole["near"].mean() > 0.7


def test_every_mesh_is_a_person(shipped, samples, body):
    batch = samples[0]
    lifted = lift(shipped, body, Crops(batch["keypoints"], batch["centre"], batch["half"]))
    # Of the same shape and pose as the true ones, but for what the model gets wrong.
    rest = body.v_template
    for mesh in (lifted.vertices, lifted.free_vertices):
        quality = mesh_quality(mesh, rest, rest.expand(len(mesh), -1, -1), body.faces)
        assert quality["stretched"].mean() < 0.02
        assert quality["volume"].min() > 0.5
        assert quality["volume"].max() < 2


@torch.no_grad()
def test_bfloat16_autocast_moves_little(shipped, samples, device):
    model, keypoints = shipped.to(device), samples[0]["keypoints"].to(device)
    wide = model(None, keypoints)
    with torch.autocast(device.type, torch.bfloat16):
        narrow = model(None, keypoints)
    model.cpu()
    assert mpjpe(narrow.joints, wide.joints).mean() < 5
    assert pve(narrow.vertices, wide.vertices).mean() < 5


@torch.no_grad()
def test_devices_agree(shipped, samples, device):
    keypoints = samples[0]["keypoints"]
    expected = shipped(None, keypoints)
    out = shipped.to(device)(None, keypoints.to(device))
    shipped.cpu()
    assert_close(out.vertices, expected.vertices, torch.float16)
