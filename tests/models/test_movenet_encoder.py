"""The detector's network as the image encoder: frozen, in no file, and of use at the joints."""

import copy
import dataclasses

import pytest
import torch
from model_samples import BLIND, PICTURES, sized, stirred
from safetensors.torch import load_file, save_file

from bilayer_graph.body import (
    COCO_LEFT_RIGHT,
    mirror_joints,
    mirror_keypoints,
)
from bilayer_graph.detection import weights_file
from bilayer_graph.detection.weights_file import load_movenet
from bilayer_graph.errors import InputError
from bilayer_graph.models import (
    SMALL,
    MoveNetEncoder,
    PatchAdapter,
    assemble_model,
    load_model,
    save_model,
    with_picture,
)
from bilayer_graph.models.lifting import Crops, coco_patches, lift
from bilayer_graph.testing import assert_close, sample_features

SEEING = dataclasses.replace(SMALL, channels=32, num_blocks=1, hidden=32)
WITHOUT = dataclasses.replace(BLIND, channels=32, num_blocks=1, hidden=32)


@pytest.fixture(scope="module")
def model(body):
    """A small model whose picture counts; a module shares it, so leave it as it is."""
    torch.manual_seed(0)
    return stirred(assemble_model(SEEING, body)).eval()


@pytest.fixture(scope="module")
def image(people):
    return sized(people["image"], 256)


@torch.no_grad()
def test_maps_are_what_the_detectors_heads_see():
    network, encoder = load_movenet("thunder"), MoveNetEncoder()
    picture = torch.rand(1, 3, 64, 96)
    maps, pooled = encoder(picture)
    assert [tuple(x.shape[1:]) for x in maps] == [
        (40, 16, 24),
        (56, 8, 12),
        (112, 4, 6),
        (64, 2, 3),
        (24, 16, 24),
    ]
    assert encoder.channels == tuple(x.size(1) for x in maps)
    assert pooled.shape == (1, encoder.pooled_channels)
    for head, expected in zip(network.heads.values(), network(picture), strict=True):
        assert_close(head(maps[-1]), expected)


def test_it_never_trains(model, image, people):
    again = copy.deepcopy(model).train()
    assert again.joint_features.training
    assert not any(module.training for module in again.encoder.modules())
    again(image, people["coco"]).joints.sum().backward()
    assert all(parameter.grad is None for parameter in again.encoder.parameters())
    assert again.joint_features.joint_features.lin_patch.lin_in.weight.grad.any()


def test_its_weights_are_in_no_file(model, image, people, body, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    state = load_file(path)
    assert not any(name.startswith("encoder.") for name in state)
    with torch.no_grad():
        again = load_model(path, body)(image, people["coco"])
        assert_close(again.joints, model(image, people["coco"]).joints, torch.float16)


def test_a_file_with_other_weights_of_it_is_refused(model, body, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    state = load_file(path) | {"encoder.network.stem.weight": torch.zeros(3)}
    metadata = {"config": SEEING.to_json(), "template": model.template_digest}
    save_file(state, path, metadata)
    with pytest.raises(InputError, match=r"^weights=.*encoder: these weights are the package's"):
        load_model(path, body)


def test_shipped_weights_that_are_gone(body, monkeypatch, tmp_path):
    monkeypatch.setattr(weights_file, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match=r"thunder.safetensors: not the weights.*Install"):
        MoveNetEncoder()
    with pytest.raises(InputError, match=r"^weights=x.pth: the package ships.*Leave them out"):
        assemble_model(SEEING, body, "x.pth")


@torch.no_grad()
def test_kept_patches_say_what_the_picture_says(model, image, people):
    maps, _ = model.encoder(image)
    patches = coco_patches(maps, people["coco"])
    assert patches.shape == (4, 17, sum(model.encoder.channels))
    kept, seen = (
        model.forward_patches(patches, people["coco"]),
        model.forward_crops(image, people["coco"]),
    )
    for one, other in zip(kept, seen, strict=True):
        assert_close(one, other)
    said = model.forward_skeleton(people["coco"], patches).joints
    assert (said - model.forward_skeleton(people["coco"]).joints).abs().max() > 1e-4


@torch.no_grad()
def test_without_a_picture_it_answers_from_the_keypoints(model, image, people):
    blind = model(None, people["coco"])
    assert_close(
        blind.joints,
        model.readout(model.forward_patches(None, people["coco"]), people["keypoints"]).joints,
    )
    assert (blind.joints - model(image, people["coco"]).joints).abs().max() > 1e-4
    with pytest.raises(InputError, match=r"^image=.*\[B, 3, 256, 256\]"):
        model(people["image"], people["coco"])


@torch.no_grad()
def test_a_missing_joint_shows_nothing(model, image, people):
    layer = model.joint_features.joint_features
    keypoints = people["keypoints"].clone()
    keypoints[:, 3] = torch.tensor([0.2, torch.nan, 0.0])
    maps, _ = model.encoder(image)
    assert_close(layer(maps, keypoints)[:, 3], layer([], keypoints)[:, 3])


def lifted(model, body, keypoints, image, flip=True):
    """The answer, and what the encoder was shown for it."""
    seen = []
    handle = model.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    crops = Crops(keypoints, torch.zeros(4, 2), torch.full((4,), 0.3), image)
    answer = lift(model, body, crops, flip=flip, refine=False)
    handle.remove()
    return answer, seen


def test_one_look_serves_the_person_and_the_mirror_image(model, image, people, body):
    mean, seen = lifted(model, body, people["coco"], image)
    assert len(seen) == 1
    assert torch.equal(seen[0], image)
    once, _ = lifted(model, body, people["coco"], image, flip=False)
    assert_close(once.joints, model(image, people["coco"]).joints.detach())
    maps, _ = model.encoder(image)
    patches = coco_patches(maps, people["coco"])
    coupled = model.forward_patches(
        patches[:, list(COCO_LEFT_RIGHT)], mirror_keypoints(people["coco"])
    )
    twin = model.readout.skeleton(coupled[0])
    assert_close(mean.joints, ((once.joints + mirror_joints(twin.joints)) / 2).detach())


def test_vertices_that_see_the_picture_see_its_mirror_image_too(image, people, body):
    torch.manual_seed(0)
    linear = dataclasses.replace(SEEING, patch="linear")
    model = stirred(assemble_model(linear, body)).eval()
    once, _ = lifted(model, body, people["coco"], image, flip=False)
    assert_close(once.joints, model(image, people["coco"]).joints.detach())
    _, (seen,) = lifted(model, body, people["coco"], image)
    assert torch.equal(seen, torch.cat([image, image.flip(3)]))


@torch.no_grad()
def test_bfloat16_autocast_moves_little(model, image, people):
    wide = model(image, people["coco"]).joints
    with torch.autocast("cpu", torch.bfloat16):
        narrow = model(image, people["coco"]).joints
    assert (wide - narrow).abs().max() < 0.1 * wide.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_a_model_in_another_dtype(model, image, people, dtype):
    expected = model(image, people["coco"])
    out = copy.deepcopy(model).to(dtype)(image.to(dtype), people["coco"].to(dtype))
    assert (out.vertices.float() - expected.vertices).abs().max() < 0.1


@torch.no_grad()
def test_a_broken_picture_leaves_the_others_alone(model, image, people):
    expected, broken = model(image, people["coco"]), image.clone()
    broken[1] = torch.nan
    broken[2, 0, 5, 5] = torch.inf
    out = model(broken, people["coco"])
    for name in ("joints", "vertices", "body_pose", "betas"):
        assert_close(getattr(out, name)[[0, 3]], getattr(expected, name)[[0, 3]])
    assert not out.vertices[1].isfinite().all()


@torch.no_grad()
def test_a_trained_model_gets_a_picture_and_answers_as_before(body, image, people):
    torch.manual_seed(0)
    before = stirred(assemble_model(WITHOUT, body)).eval()
    after = with_picture(before, body)
    assert after.config == SEEING
    assert not after.training
    expected = before(None, people["coco"])
    for picture in (None, image):
        assert torch.equal(after(picture, people["coco"]).joints, expected.joints)
    assert with_picture(after, body) is after
    other = assemble_model(dataclasses.replace(PICTURES, backbone="plain", num_blocks=1), body)
    with pytest.raises(InputError, match=r"^model=.*backbone='plain'.*Give one of"):
        with_picture(other, body)


def test_the_adapter_standardises_and_starts_at_zero():
    torch.manual_seed(0)
    adapter = PatchAdapter(5, 7).eval()
    x = sample_features(2, 3, 5)
    assert not adapter(x).any()
    stirred(adapter)
    plain = adapter(x)
    adapter.standardise(torch.full((5,), 2.0), torch.tensor([3.0, 3, 3, 3, 0]))
    x[..., 4] = 0
    moved = 3 * x + 2
    moved[..., 4] = 2
    adapter.deviation[4] = 1
    plain = PatchAdapter(5, 7).eval()
    plain.load_state_dict(
        {**adapter.state_dict(), "mean": torch.zeros(5), "deviation": torch.ones(5)}
    )
    assert_close(adapter(moved), plain(x))
    assert {"mean", "deviation"} <= set(adapter.state_dict())
