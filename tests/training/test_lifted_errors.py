"""Errors of lifted people: zero for the truth, known for a known fault."""

import pytest
import torch
import trimesh

from bilayer_graph.body import COCO_TO_JOINTS, BodyModel, look_at
from bilayer_graph.body.refine import Sight, find_place
from bilayer_graph.models import SMALL, assemble_model
from bilayer_graph.models.lifting import LiftedBodies
from bilayer_graph.synthetic import GeometrySamples, PoseBank
from bilayer_graph.testing import assert_close, sphere_mesh
from bilayer_graph.training import lifted_errors
from bilayer_graph.training.lifted_errors import mesh_quality, volume


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def model(body):
    return assemble_model(SMALL, body)


@pytest.fixture(scope="module")
def batch(body, model):
    poses = PoseBank(body, postures=20)
    return GeometrySamples(body, model.vertex_index, poses, 6, 1, noise=False)[0]


@pytest.fixture
def truth(body, model, batch, monkeypatch):
    """Let the model say the truth, with some of it changed."""
    reduced = model.readout.body
    relative = reduced.relative(batch["rotations"])
    turn = look_at(batch["centre"])
    vertices = body(batch["betas"], relative[:, 1:], relative[:, 0]).vertices @ turn
    joints = batch["joints"] @ turn

    # A place from where the true keypoints are seen, by least squares.
    tangents = batch["centre"].unsqueeze(1) + batch["keypoints_true"] * batch["half"].view(-1, 1, 1)
    points = body.keypoints(vertices)[:, list(COCO_TO_JOINTS)]
    place = find_place(points, Sight(tangents, torch.ones(6, 12)))

    def say(**changes):
        values = {
            "joints": joints,
            "vertices": vertices,
            "free_vertices": vertices,
            "rotations": relative,
            "betas": batch["betas"],
            "place": place,
        }
        values |= {name: change(values[name]) for name, change in changes.items()}
        monkeypatch.setattr(lifted_errors, "lift", lambda *_: LiftedBodies(**values))
        return lifted_errors.lifted_errors(model, body, batch)

    return say


def test_the_truth_has_no_error(truth):
    errors = truth()
    assert set(errors) == {"MPJPE", "PA-MPJPE", "PVE", "PVE free", "near"}
    for name, error in errors.items():
        assert error.shape == (6,), name
        if name == "near":
            # One in ten is seen by a weak-perspective camera, which none of these places is.
            assert (error == 1).sum() >= 5
        else:
            assert error.max() < 1e-2, name


def test_what_a_fault_costs(truth):
    errors = truth(free_vertices=lambda x: x + torch.tensor([0.03, 0.0, 0.04]))
    assert_close(errors["PVE free"], torch.full((6,), 50.0), torch.float16)
    assert errors["PVE"].max() < 1e-2
    errors = truth(joints=lambda x: 1.2 * x)
    assert errors["PA-MPJPE"].max() < 1e-2
    assert errors["MPJPE"].min() > 10
    # A person beside where he is seen is still right in himself.
    errors = truth(place=lambda x: x + 0.5 * x[:, 2:] * torch.tensor([1.0, 0.0, 0.0]))
    assert (errors["near"] == 0).all()
    assert errors["MPJPE"].max() < 1e-2


def test_volumes_are_trimeshs():
    vertices, faces = sphere_mesh(3, radius=1.5)
    meshes = torch.stack([vertices, vertices * torch.tensor([1.0, 2.0, 0.5]) + 3])
    expected = [trimesh.Trimesh(x.numpy(), faces.numpy(), process=False).volume for x in meshes]
    assert_close(volume(meshes, faces), torch.tensor(expected), torch.float16)


def test_quality_of_meshes():
    vertices, faces = sphere_mesh(2)
    meshes = torch.stack([vertices, 1.5 * vertices, 3 * vertices, 0.4 * vertices])
    quality = mesh_quality(meshes, vertices, vertices.expand(4, -1, -1), faces)
    assert quality["stretched"].tolist() == [0, 0, 1, 1]
    assert_close(quality["volume"], torch.tensor([1.0, 1.5**3, 27.0, 0.4**3]))
    spoiled = vertices.clone()
    spoiled[0] += 5
    share = mesh_quality(spoiled[None], vertices, vertices[None], faces)["stretched"]
    touching = (faces == 0).any(1).sum() * 2
    assert_close(share, touching / torch.tensor([3.0 * len(faces)]))
