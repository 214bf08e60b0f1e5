"""The quadruped: a closed mesh whose joints, weights and shapes do what their tables say."""

from pathlib import Path

import build_quadruped as tool
import numpy as np
import pytest
import torch
import trimesh

from bilayer_graph.body import BodyModel, axis_angle_to_matrix
from bilayer_graph.testing import assert_close

FILE = Path(__file__).parents[2] / "examples" / "quadruped.npz"
NAMES = list(tool.JOINTS)


@pytest.fixture(scope="module")
def animal():
    return BodyModel.load(FILE)


def posed(animal, angles, betas=(0, 0, 0, 0)):
    turns = torch.zeros(1, len(NAMES), 3)
    for name, angle in angles.items():
        turns[0, NAMES.index(name)] = torch.tensor(angle)
    rotations = axis_angle_to_matrix(turns)
    return animal(torch.tensor([betas], dtype=torch.float), rotations[:, 1:], rotations[:, 0])


def test_the_tool_makes_the_committed_file(monkeypatch, tmp_path):
    written = tmp_path / "body.npz"
    monkeypatch.setattr("sys.argv", ["build_quadruped.py", "--out", str(written)])
    tool.main()
    with np.load(written) as made, np.load(FILE) as committed:
        assert made.files == committed.files
        for name in made.files:
            assert made[name].dtype == committed[name].dtype, name
            np.testing.assert_array_equal(made[name], committed[name], err_msg=name)


def test_is_a_closed_mesh_of_one_piece(animal):
    mesh = trimesh.Trimesh(animal.v_template.numpy(), animal.faces.numpy(), process=False)
    assert mesh.vertices.shape == (tool.NUM_VERTICES, 3)
    assert mesh.is_watertight
    assert mesh.euler_number == 2
    assert 0.1 < mesh.volume < 0.25


def test_joints_are_where_the_tables_put_them(animal):
    rest = animal.J_regressor @ animal.v_template
    places = torch.tensor([joint.place for joint in tool.JOINTS.values()])
    assert (rest - places).abs().max() < 1e-4
    named = dict(zip(animal.skeleton.names, animal.joints(animal.v_template), strict=True))
    assert len(named) == 21
    for name, place in (*tool.TIPS.items(), ("left_knee", tool.JOINTS["left_knee"].place)):
        assert (named[name] - torch.tensor(place)).abs().max() < 1e-4
    mirrored = named["left_knee"] * torch.tensor([-1.0, 1.0, 1.0])
    assert (named["right_knee"] - mirrored).abs().max() < 1e-4


def test_weights_sum_to_one_exactly(animal):
    assert_close(animal.weights.sum(1), torch.ones(tool.NUM_VERTICES))
    assert torch.equal(animal.weights * 2048, (animal.weights * 2048).round())


def test_every_joint_hangs_on_the_bones(animal):
    reached = {0}
    for _ in animal.skeleton.bones:
        reached |= {end for bone in animal.skeleton.bones if reached & {*bone} for end in bone}
    assert reached == set(range(21))


def test_a_joint_moves_what_it_carries_and_nothing_else(animal):
    rest, moved = posed(animal, {}), posed(animal, {"left_hock": (0.5, 0.0, 0.0)})
    shift = (moved.vertices - rest.vertices)[0].norm(dim=-1)
    x, height, z = animal.v_template.unbind(1)
    hoof = (height < 0.15) & (x > 0) & (z < 0)
    assert shift[hoof].min() > 0.05
    assert shift[(height > 0.45) | (x < 0) | (z > 0)].max() < 1e-3


def test_shapes(animal):
    rest, long = posed(animal, {}).vertices, posed(animal, {}, (1, 0, 0, 1)).vertices
    assert 0.04 < (rest[..., 1].min() - long[..., 1].min()).item() < 0.09
    assert 0.03 < (long[..., 1].max() - rest[..., 1].max()).item() < 0.1


def test_turns_are_the_tables():
    with np.load(FILE) as file:
        mean, spread = np.degrees(file["turn_mean"]), np.degrees(file["turn_spread"])
    turns = np.array([joint.turn for joint in tool.JOINTS.values()])
    np.testing.assert_allclose(mean, np.pad(turns[:, :1], ((0, 0), (0, 2))), atol=1e-4)
    np.testing.assert_allclose(spread, turns[:, 1:], atol=1e-4)
