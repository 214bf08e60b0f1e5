import pytest
import torch
from model_samples import BLIND, run

from bilayer_graph.body import fit_camera, project
from bilayer_graph.models import assemble_model
from bilayer_graph.testing import assert_close, sample_features


@pytest.fixture
def features():
    return sample_features(4, 12, 64), sample_features(4, 431, 64, seed=1)


def test_a_new_readout_says_the_posed_body(body, features, people):
    torch.manual_seed(0)
    model = assemble_model(BLIND, body)
    out = model.readout(features, people["keypoints"])
    posed = body(out.betas, out.body_pose, out.global_orient).vertices
    assert_close(out.vertices, posed[:, model.vertex_index])
    assert (out.betas.abs() > 0).all()


def test_the_mesh_branch_moves_the_vertices_of_that_body(small, body, features, people):
    out = small.readout(features, people["keypoints"])
    posed = body(out.betas, out.body_pose, out.global_orient).vertices[:, small.vertex_index]
    offsets = small.readout.mesh_head(features[1])
    assert offsets.abs().max() > 0.1
    assert_close(out.vertices, posed + offsets)


def test_the_body_comes_from_the_skeleton_alone(small, features, people):
    out = small.readout(features, people["keypoints"])
    other = small.readout((features[0], features[1].flip(0)), people["keypoints"])
    for name in ("joints", "global_orient", "body_pose", "betas"):
        assert torch.equal(getattr(out, name), getattr(other, name)), name
    assert not torch.equal(out.vertices, other.vertices)


def test_joints_of_the_body_are_exact(small, body, features):
    out = small.readout.skeleton(features[0])
    relative = small.readout.body.relative(out.rotations)
    posed = body(out.betas, relative[:, 1:], relative[:, 0]).vertices
    assert_close(out.body_joints, body.joints(posed))


def test_the_camera_projects_the_mesh_nearest_to_the_keypoints(small, people):
    out = run(small, people)
    points = people["keypoints"]
    expected = fit_camera(out.mesh_joints, points[..., :2], points[..., 2])
    assert_close(out.camera, expected)
    best = cost(out.camera, out, points)
    for seed in range(20):
        other = out.camera + 0.01 * sample_features(4, 3, seed=seed)
        assert (cost(other, out, points) > best).all()


def cost(camera, out, points):
    gap = (project(out.mesh_joints, camera) - points[..., :2]).square().sum(-1)
    return (gap * points[..., 2]).sum(1)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_keypoint_that_is_not_finite_is_missing(small, people, value, column):
    points = people["coco"].clone()
    points[1, 9, 2] = 0
    expected = small(None, points)
    points[1, 9] = torch.tensor([0.3, 0.4, 0.5])
    points[1, 9, column] = value
    out = small(None, points)
    for name, wanted in vars(expected).items():
        assert torch.equal(getattr(out, name), wanted), name


def test_everything_is_float32_under_autocast(small, body, people, device):
    model, points = small.to(device), people["coco"].to(device)
    with torch.autocast(device.type, torch.bfloat16):
        out = model(None, points)
    model.cpu()
    rotations = torch.cat([out.global_orient.unsqueeze(1), out.body_pose], dim=1)
    assert_close(rotations @ rotations.mT, torch.eye(3).expand(4, 24, 3, 3))
