"""From a model's answer to a body before the camera: averaged, refined, turned back."""

import dataclasses

import pytest
import torch
from model_samples import BLIND, PICTURES

from bilayer_graph.body import (
    COCO_TO_JOINTS,
    BodyModel,
    ReducedBody,
    axis_angle_to_matrix,
    look_at,
    mirror_joints,
    mirror_keypoints,
    mirror_rotations,
    project,
)
from bilayer_graph.body.refine import Sight, find_place
from bilayer_graph.models import SkeletonOutput, assemble_model
from bilayer_graph.models.lifting import Crops, lift
from bilayer_graph.synthetic import GeometrySamples, PoseBank
from bilayer_graph.testing import assert_close, sample_features

CONFIG = dataclasses.replace(BLIND, num_blocks=1, channels=32, hidden=64)
MIRROR = torch.tensor([-1.0, 1.0, 1.0])
LIMBS = list(COCO_TO_JOINTS)


@pytest.fixture(scope="module")
def model(body):
    torch.manual_seed(0)
    model = assemble_model(CONFIG, body).eval()
    torch.nn.init.normal_(model.readout.mesh_head.lin_out.weight, std=1e-2)
    torch.nn.init.normal_(model.readout.body_head.lin_out.weight, std=0.02)
    return model


@pytest.fixture(scope="module")
def batch(body, model):
    """People whose keypoints are true, the weak cameras among them left out."""
    poses = PoseBank(body, postures=100)
    samples = GeometrySamples(body, model.vertex_index, poses, 60, 1, seed=2, noise=False)
    batch = samples[0]
    keep = perspective(batch)[:8]
    return {name: values[keep] for name, values in batch.items()}


def perspective(batch):
    """Samples that a perspective camera explains."""
    turn = look_at(batch["centre"])
    rays = torch.nn.functional.pad(
        batch["centre"].unsqueeze(1) + batch["keypoints_true"] * batch["half"].view(-1, 1, 1),
        (0, 1),
        value=1.0,
    )
    rays = rays @ turn.mT
    sight = Sight(rays[..., :2] / rays[..., 2:], torch.ones(rays.shape[:2]))
    points = batch["joints"] + find_place(batch["joints"], sight).unsqueeze(1)
    gap = (points[..., :2] / points[..., 2:] - sight.tangents).norm(dim=-1).amax(1)
    return (gap < 1e-4).nonzero().squeeze(1)


@pytest.fixture
def knows(monkeypatch, model):
    """Make the model say what a test wants, to mirrored people as to others."""

    def answer(batch, joints_off=0.0):
        joints, rotations, betas = batch["joints"] + joints_off, batch["rotations"], batch["betas"]
        twins = mirror_joints(joints), mirror_rotations(rotations), betas

        def skeleton(x):
            said = joints, rotations, betas
            if len(x) == 2 * len(betas):  # the mirrored people come after the others
                said = tuple(torch.cat(pair) for pair in zip(said, twins, strict=True))
            return SkeletonOutput(*said, said[0], said[0])

        monkeypatch.setattr(model.readout, "skeleton", skeleton)

    return answer


def crops_of(batch):
    return Crops(batch["keypoints"], batch["centre"], batch["half"])


def off_in_picture(lifted, body, batch):
    """Mean distance of the projected body's joints from the true ones, in crop coordinates."""
    points = body.keypoints(lifted.vertices)[:, LIMBS] + lifted.place.unsqueeze(1)
    seen = (points[..., :2] / points[..., 2:] - batch["centre"].unsqueeze(1)) / batch["half"].view(
        -1, 1, 1
    )
    return (seen - batch["keypoints_true"]).norm(dim=-1).mean(1)


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_a_perfect_answer_is_left_alone(model, body, batch, knows, flip, refine):
    knows(batch)
    lifted = lift(model, body, crops_of(batch), flip, refine)
    turn = look_at(batch["centre"])
    # From the axes of the crop's ray to those of the picture's camera.
    expected = batch["vertices"] @ turn
    assert (lifted.vertices[:, model.vertex_index] - expected).abs().max() < 2e-3
    assert (lifted.joints - batch["joints"] @ turn).abs().max() < 2e-3
    assert off_in_picture(lifted, body, batch).max() < 3e-3
    assert (lifted.place[:, 2] > 0.3).all()


def test_what_comes_out_agrees_with_itself(model, body, batch):
    for refine in (False, True):
        lifted = lift(model, body, crops_of(batch), True, refine)
        again = body(lifted.betas, lifted.rotations[:, 1:], lifted.rotations[:, 0]).vertices
        assert_close(lifted.vertices, again, torch.float16)
        turns = lifted.rotations
        assert_close(turns @ turns.mT, torch.eye(3).expand_as(turns))
    # The refined skeleton is the body's.
    assert_close(lifted.joints, body.joints(lifted.vertices))


def test_the_free_mesh_is_the_body_and_the_offsets(model, body, batch):
    crops = crops_of(batch)
    lifted = lift(model, body, crops, flip=False, refine=False)
    features = model.forward_crops(None, batch["keypoints"])
    offsets = model.upsample(model.readout.mesh_head(features[1]))[-1] @ look_at(batch["centre"])
    assert offsets.abs().max() > 1e-2
    assert_close(lifted.free_vertices - lifted.vertices, offsets, torch.float16)


def mirrored(crops):
    centre = crops.centre * torch.tensor([-1.0, 1.0])
    return Crops(mirror_keypoints(crops.keypoints), centre, crops.half)


@pytest.mark.parametrize("refine", [False, True])
def test_a_mirrored_person_is_lifted_to_the_mirror_image(model, body, batch, refine):
    crops = crops_of(batch)
    lifted, twin = (lift(model, body, c, True, refine) for c in (crops, mirrored(crops)))
    # Nothing but the template tells left from right, by millimetres.
    tolerance = 0.02 if refine else 1e-4
    rotations = mirror_rotations(relative_to_camera(twin))
    assert (rotations - relative_to_camera(lifted)).abs().max() < 3 * tolerance
    assert (mirror_joints(twin.joints) - lifted.joints).abs().max() < tolerance
    assert (twin.betas - lifted.betas).abs().max() < 10 * tolerance
    assert ((twin.place * MIRROR - lifted.place).abs().amax(1) < 0.02 * lifted.place[:, 2]).all()
    # Without the average the untrained model is not symmetric at all.
    plain, other = (lift(model, body, c, False, False) for c in (crops, mirrored(crops)))
    assert (mirror_joints(other.joints) - plain.joints).abs().max() > 0.1


def relative_to_camera(lifted):
    parents = BodyModel.load().parents
    out = [lifted.rotations[:, 0]]
    for joint, parent in enumerate(parents[1:], start=1):
        out.append(out[parent] @ lifted.rotations[:, joint])
    return torch.stack(out, dim=1)


def test_refinement_brings_the_body_nearer_to_its_keypoints(model, body, batch, knows):
    moved = dict(batch)
    reduced = ReducedBody(body, model.vertex_index)
    turns = axis_angle_to_matrix(0.12 * sample_features(len(batch["betas"]), 24, 3))
    moved["rotations"] = reduced.absolute(reduced.relative(batch["rotations"]) @ turns)
    knows(moved)
    plain = lift(model, body, crops_of(batch), True, False)
    knows(moved)
    refined = lift(model, body, crops_of(batch), True, True)
    before, after = (off_in_picture(lifted, body, batch) for lifted in (plain, refined))
    assert before.mean() > 0.02
    assert after.mean() < 0.5 * before.mean()


def test_missing_keypoints_may_hold_anything(model, body, batch):
    points = batch["keypoints"].clone()
    points[:, 9, 2] = 0
    crops = dataclasses.replace(crops_of(batch), keypoints=points)
    expected = lift(model, body, crops)
    for value in (torch.nan, 50.0):
        odd = points.clone()
        odd[:, 9, :2] = value
        found = lift(model, body, dataclasses.replace(crops, keypoints=odd))
        for name, wanted in vars(expected).items():
            assert_close(getattr(found, name), wanted)


def test_people_do_not_mix(model, body, batch):
    crops = crops_of(batch)
    alone = Crops(crops.keypoints[2:3], crops.centre[2:3], crops.half[2:3])
    whole, one = lift(model, body, crops), lift(model, body, alone)
    for name, value in vars(one).items():
        assert_close(value[0], getattr(whole, name)[2], torch.float16)


def test_under_autocast_bodies_are_not_rounded(model, body, batch, knows):
    knows(batch)
    wide = lift(model, body, crops_of(batch))
    knows(batch)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = lift(model, body, crops_of(batch))
    for name, value in vars(wide).items():
        if name != "free_vertices":
            assert_close(getattr(narrow, name), value)


def test_no_gradient(model, body, batch):
    assert not lift(model, body, crops_of(batch)).vertices.requires_grad


def test_a_free_models_camera_projects_as_its_weak_camera_does(papers, body, people):
    """At the centre of the crop, from afar: a person of no depth looks the same to both."""
    centre, half = torch.tensor([[0.1, -0.05]]).repeat(4, 1), torch.full((4,), 0.02)
    keypoints = people["coco"].clone()
    crops = Crops(keypoints, centre, half, people["image"])
    lifted = lift(papers, body, crops)
    out = papers(people["image"], people["keypoints"])
    turn = look_at(centre)
    # In the axes of the crop's ray the free mesh is what the model said.
    full = papers.upsample(out.vertices)[-1]
    assert_close(lifted.vertices, full @ turn)
    assert torch.equal(lifted.free_vertices, lifted.vertices)
    place = (turn @ lifted.place.unsqueeze(-1)).squeeze(-1)
    flat = full * torch.tensor([1.0, 1.0, 0.0]) + place.unsqueeze(1)
    seen = flat[..., :2] / flat[..., 2:] / half.view(-1, 1, 1)
    assert_close(seen, project(full, out.camera))


def test_a_model_of_pictures_is_shown_the_mirrored_picture(body, people):
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, backbone="plain", image_size=PICTURES.image_size)
    model = assemble_model(config, body).eval()
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    centre, half = torch.zeros(4, 2), torch.full((4,), 0.3)
    lift(model, body, Crops(people["coco"], centre, half, people["image"]))
    (images,) = seen
    assert torch.equal(images, torch.cat([people["image"], people["image"].flip(3)]))
