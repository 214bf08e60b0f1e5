"""Pictures of a body that is no human: its own poses, coat and detector."""

from pathlib import Path

import pytest
import torch

from bilayer_graph.body import BodyModel, axis_angle_to_matrix, project
from bilayer_graph.render import rasterize_hits
from bilayer_graph.synthetic import Coat, Subject, SyntheticBodies, TurnedJoints
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.testing import assert_close
from bilayer_graph.training.evaluation import MeanPose

FILE = Path(__file__).parents[2] / "examples" / "quadruped.npz"
SIZE, JOINTS, BONES = 64, 21, 19
MEAN, SPREAD = torch.full((BONES, 3), 0.05), torch.full((BONES, 3), 0.1)


def detect(draws, points, visible, box):
    return torch.cat([points, visible[..., None].float()], dim=-1)


@pytest.fixture(scope="module")
def animal():
    return BodyModel.load(FILE)


@pytest.fixture(scope="module")
def subject(animal):
    return Subject(TurnedJoints(MEAN, SPREAD), Coat(animal), detect, torch.full((JOINTS,), 0.2))


@pytest.fixture(scope="module")
def batch(animal, subject):
    return SyntheticBodies(animal, 48, SIZE, 3, subject).batch(range(48))


def test_a_sample_does_not_depend_on_its_batch(animal, subject, batch):
    alone = SyntheticBodies(animal, 48, SIZE, 3, subject)[37]
    assert alone.keys() == batch.keys()
    for name, values in alone.items():
        assert torch.equal(values, batch[name][37]), name


def test_samples_agree_with_themselves(animal, batch):
    assert batch["image"].shape == (48, 3, SIZE, SIZE)
    posed = animal(batch["betas"], batch["body_pose"], batch["global_orient"])
    assert_close(batch["vertices"], posed.vertices)
    assert_close(batch["joints"], animal.joints(posed.vertices))
    assert_close(batch["keypoints_true"], project(batch["joints"], batch["camera"]))


def test_the_subject_detects(batch):
    assert torch.equal(batch["keypoints"][..., :2], batch["keypoints_true"])
    assert torch.equal(batch["keypoints"][..., 2], batch["visible"].float())
    # Legs hide each other, the frame and occluders hide some.
    assert 0.6 < batch["visible"].float().mean() < 0.98


def test_joints_turn_about_their_mean(batch):
    poses = TurnedJoints(MEAN, torch.zeros(BONES, 3))(Draws(0, torch.arange(5)))[0]
    assert_close(poses, axis_angle_to_matrix(MEAN[1:]).expand(5, -1, -1, -1))
    trace = batch["body_pose"].diagonal(dim1=-2, dim2=-1).sum(-1)
    angle = ((trace - 1) / 2).clamp(-1, 1).acos()
    # Three normal turns of 0.1 and a mean of 0.05 each: their root mean square.
    expected = (3 * (0.1**2 + 0.05**2)) ** 0.5
    assert angle.square().mean().sqrt() == pytest.approx(expected, rel=0.08)


def test_bodies_stand_upright_with_every_heading(batch):
    up = batch["global_orient"] @ torch.tensor([0.0, 1.0, 0.0])
    assert (up[:, 1] < -0.9).all()
    front = batch["global_orient"] @ torch.tensor([0.0, 0.0, 1.0])
    assert front[:, 0].abs().mean() > 0.5
    assert front[:, 2].min() < -0.8
    assert front[:, 2].max() > 0.8


def test_socks_have_another_colour(animal):
    """One animal at rest: colours above the highest and below the lowest border."""
    draws = Draws(1, torch.arange(40))
    vertices = (animal.v_template * torch.tensor([1.0, -1.0, -1.0])).expand(40, -1, -1)
    pixels = (vertices[..., :2] + torch.tensor([0.5, 1.6])) * 40
    hits = rasterize_hits(pixels, vertices[..., 2], animal.faces, 80, 80)
    colour = Coat(animal)(draws, vertices, hits)
    assert colour.shape == (len(hits.pixel), 3)
    assert ((colour >= 0) & (colour <= 1)).all()
    height = 1.6 - (hits.pixel % 6400 // 80 + 0.5) / 40
    top = animal.v_template[:, 1].max()
    gaps = []
    for picture in range(40):
        mine = hits.picture == picture
        low, high = mine & (height < 0.05 * top), mine & (height > 0.35 * top)
        gaps.append((colour[low].mean(0) - colour[high].mean(0)).norm())
    assert torch.stack(gaps).median() > 0.15


def test_the_mean_pose_of_one_pose_is_exact_whatever_the_heading(animal):
    turns = axis_angle_to_matrix(torch.tensor([[0.0, y, 0.0] for y in (0.0, 1.0, 2.0, 4.0)]))
    still = animal.v_template @ turns.mT
    drawn = {"vertices": still, "joints": animal.joints(still), "global_orient": turns}
    root = animal.skeleton.root
    mean = MeanPose.of(drawn, root)
    for name, error in mean.errors(drawn).items():
        assert error.max() < 1e-2, name
    shifted = {**drawn, "vertices": still + torch.tensor([0.1, 0.0, 0.0])}
    assert_close(mean.errors(shifted)["pve"], torch.full((4,), 100.0))
    other = {**drawn, "global_orient": turns.flip(0)}
    assert (mean.errors(other)["mpjpe"] > 100).all()
