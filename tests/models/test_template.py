import dataclasses

import pytest
import torch
import trimesh

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.models import body_template
from bilayer_graph.testing import assert_close, sample_features, to_dense

SIZES = pytest.mark.parametrize("size", [6890, 1723, 431])


@SIZES
def test_is_the_body_at_rest(body, size):
    template = body_template(body, size)
    pelvis = body.J_regressor[0] @ body.v_template
    rest = body.v_template - pelvis
    assert template.vertices.shape == (size, 3)
    assert_close(template.vertices, rest[template.index])
    assert_close(template.joints, body.joints(rest))
    assert (template.vertices.amax(0) - template.vertices.amin(0))[1] > 1.4


@SIZES
def test_is_a_closed_mesh(body, size):
    template = body_template(body, size)
    mesh = trimesh.Trimesh(template.vertices.numpy(), template.faces.numpy(), process=False)
    assert template.faces.shape == (2 * size - 4, 3)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0


@pytest.mark.parametrize("size", [1723, 431])
def test_joints_of_a_coarse_mesh_are_those_of_the_fine_one(body, size):
    template = body_template(body, size)
    mesh = sample_features(size, 3)
    fine = mesh.double()
    for level in reversed(template.levels):
        sizes = level.kept.numel(), level.up_index.size(0)
        fine = to_dense(*level.up(), sizes) @ fine
    assert_close(template.joint_regressor @ mesh, body.joint_regressor.double() @ fine)


@SIZES
def test_joints_are_a_mean_of_vertices(body, size):
    template = body_template(body, size)
    assert_close(template.joint_regressor.sum(1), torch.ones(12), torch.float16)
    error = (template.joint_regressor @ template.vertices - template.joints).norm(dim=1)
    assert error.max() < 0.015


def test_levels_lead_from_the_full_mesh_to_this_one(body):
    assert body_template(body, 6890).levels == ()
    assert [len(level.kept) for level in body_template(body, 1723).levels] == [1723]
    levels = body_template(body, 431).levels
    assert [len(level.kept) for level in levels] == [1723, 431]
    assert [len(level.up_index) for level in levels] == [6890, 1723]


@pytest.mark.parametrize("size", [642, 431])
def test_a_body_without_stored_levels(sphere_body, size):
    template = body_template(sphere_body, size)
    assert template.vertices.shape == (size, 3)
    assert template.faces.shape == (2 * size - 4, 3)
    assert_close(template.vertices, template_rest(sphere_body)[template.index])


def template_rest(body):
    return body.v_template - body.J_regressor[:1] @ body.v_template


def test_digest_tells_topologies_apart(body, sphere_body):
    digests = {body_template(body, size).digest() for size in (6890, 1723, 431)}
    digests.add(body_template(sphere_body, 431).digest())
    assert len(digests) == 4
    assert body_template(body, 431).digest() == body_template(BodyModel.load(), 431).digest()
    template = body_template(body, 431)
    moved = dataclasses.replace(template, faces=template.faces.roll(1, dims=0))
    assert moved.digest() != template.digest()


@pytest.mark.parametrize("size", [0, 430, 1000, 6891])
def test_no_mesh_of_this_size(body, size):
    message = rf"^num_vertices={size}: no mesh of this size.*\[6890, 1723, 431\]"
    with pytest.raises(InputError, match=message):
        body_template(body, size)


def test_any_size_of_a_body_without_stored_levels(sphere_body):
    template = body_template(sphere_body, 100)
    assert [level.kept.numel() for level in template.levels] == [431, 100]
    assert template.vertices.shape == (100, 3)
    assert_close(template.vertices, template_rest(sphere_body)[template.index])
    with pytest.raises(InputError, match=r"^num_vertices=643: .*\[642, 431\]"):
        body_template(sphere_body, 643)
    with pytest.raises(InputError, match=r"^num_vertices=3: "):
        body_template(sphere_body, 3)
