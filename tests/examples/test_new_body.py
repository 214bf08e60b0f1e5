import dataclasses
import re

import pytest
import torch
import trimesh
from example_scripts import load_script
from PIL import Image

from bilayer_graph.body import axis_angle_to_matrix, project
from bilayer_graph.errors import InputError
from bilayer_graph.models import ModelConfig, assemble_model, load_model, save_model
from bilayer_graph.testing import assert_close

pytest.importorskip("pytorch_lightning")
script = load_script("new_body")
NAMES = list(script.JOINTS)


@pytest.fixture(scope="module")
def animal():
    return script.build_body()


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    def call(*arguments):
        words = ["new_body.py", "--out", tmp_path / "deep" / "animal.png", *arguments]
        monkeypatch.setattr("sys.argv", [str(word) for word in words])
        return script.main(), *capsys.readouterr()

    return call


def posed(animal, angles, betas=(0, 0, 0, 0)):
    turns = torch.zeros(1, len(NAMES), 3)
    for name, angle in angles.items():
        turns[0, NAMES.index(name)] = torch.tensor(angle)
    rotations = axis_angle_to_matrix(turns)
    return animal(torch.tensor([betas], dtype=torch.float), rotations[:, 1:], rotations[:, 0])


def test_trains_measures_and_draws(run, tmp_path):
    status, printed, _ = run("--steps", 2, "--batch-size", 4, "--held-out", 6)
    assert status == 0
    assert "over 8 pictures" in printed
    number = r"\d+\.\d \(\d+\.\d\)"
    assert re.search(rf"^  model: MPJPE {number}, .*SMPL PVE {number}$", printed, re.MULTILINE)
    for name in ("mean body", "mean pose, true heading"):
        assert re.search(rf"^  {name}: MPJPE {number}, .*, PVE {number}$", printed, re.MULTILINE)
    picture = Image.open(tmp_path / "deep" / "animal.png")
    assert picture.size == (4 * script.PANEL_SIZE, script.SHOWN * script.PANEL_SIZE)


def test_is_a_closed_mesh_of_one_piece(animal):
    mesh = trimesh.Trimesh(animal.v_template.numpy(), animal.faces.numpy(), process=False)
    assert mesh.vertices.shape == (script.NUM_VERTICES, 3)
    assert mesh.is_watertight
    assert mesh.euler_number == 2
    assert 0.1 < mesh.volume < 0.25


def test_joints_are_where_the_tables_put_them(animal):
    rest = animal.J_regressor @ animal.v_template
    assert_close(rest, torch.tensor([joint.place for joint in script.JOINTS.values()]))
    named = dict(zip(animal.skeleton.names, animal.joints(animal.v_template), strict=True))
    assert len(named) == 21
    for name, place in script.TIPS.items():
        assert_close(named[name], torch.tensor(place))
    assert_close(named["left_knee"], torch.tensor(script.JOINTS["left_knee"].place))
    assert_close(named["right_knee"], named["left_knee"] * torch.tensor([-1.0, 1.0, 1.0]))


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
    rest, long = posed(animal, {}), posed(animal, {}, (1, 0, 0, 1))
    lowest, highest = (reduce(animal, rest, long) for reduce in (legs, head))
    assert 0.04 < lowest < 0.09
    assert 0.03 < highest < 0.1


def legs(animal, rest, long):
    return (rest.vertices[..., 1].min() - long.vertices[..., 1].min()).item()


def head(animal, rest, long):
    return (long.vertices[..., 1].max() - rest.vertices[..., 1].max()).item()


def test_samples_do_not_depend_on_their_batch(animal):
    four, two = script.Quadrupeds(animal, 1, 4, 7)[0], script.Quadrupeds(animal, 2, 2, 7)[1]
    assert four.keys() == two.keys()
    for name, values in two.items():
        assert_close(four[name][2:], values, torch.float16 if name == "image" else None)


def test_samples_agree_with_themselves(animal):
    batch = script.Quadrupeds(animal, 1, 16, 3)[0]
    assert batch["image"].shape == (16, 3, script.IMAGE_SIZE, script.IMAGE_SIZE)
    body = animal(batch["betas"], batch["body_pose"], batch["global_orient"])
    assert_close(batch["vertices"], body.vertices)
    assert_close(batch["joints"], animal.joints(body.vertices))
    assert_close(batch["keypoints_true"], project(batch["joints"], batch["camera"]))
    found = batch["keypoints"][..., 2] > 0
    assert 0.7 < found.float().mean() < 1.0
    assert (batch["keypoints"][~found] == 0).all()
    gap = (batch["keypoints"][..., :2] - batch["keypoints_true"]).norm(dim=-1)[found]
    assert 0.01 < gap.mean() < 0.08
    with pytest.raises(IndexError):
        script.Quadrupeds(animal, 1, 16, 3)[1]


def test_animals_stand_upright_with_every_heading(animal):
    batch = script.Quadrupeds(animal, 1, 64, 0).pose(0)[1]
    up = batch["global_orient"] @ torch.tensor([0.0, 1.0, 0.0])
    assert (up[:, 1] < -0.9).all()
    front = batch["global_orient"] @ torch.tensor([0.0, 0.0, 1.0])
    assert front[:, 0].abs().mean() > 0.5
    assert front[:, 2].min() < -0.8
    assert front[:, 2].max() > 0.8


def test_the_mean_pose_of_one_pose_is_exact_whatever_the_heading(animal):
    turns = axis_angle_to_matrix(torch.tensor([[0.0, y, 0.0] for y in (0.0, 1.0, 2.0, 4.0)]))
    still = posed(animal, {}).vertices @ turns.mT
    drawn = {"vertices": still, "joints": animal.joints(still), "global_orient": turns}
    errors = script.mean_pose_errors(animal, drawn, drawn)
    for name in ("mpjpe", "pa_mpjpe", "pve"):
        assert errors[name].max() < 1e-2
    shifted = {**drawn, "vertices": still + torch.tensor([0.1, 0.0, 0.0])}
    assert_close(script.mean_pose_errors(animal, drawn, shifted)["pve"], torch.full((4,), 100.0))


SMALLER = ModelConfig(
    backbone="plain",
    image_size=script.IMAGE_SIZE,
    num_vertices=120,
    channels=32,
    num_blocks=1,
    hidden=16,
)
POSED = dataclasses.replace(
    SMALLER, backbone="none", norm="layer", joint_input="pose", readout="posed"
)


@pytest.mark.parametrize("config", [SMALLER, POSED], ids=["free", "posed"])
def test_the_model_takes_its_sizes_from_the_body(animal, tmp_path, config):
    torch.manual_seed(0)
    model = assemble_model(config, animal).eval()
    batch = script.Quadrupeds(animal, 1, 2, 0)[0]
    image = None if model.encoder is None else batch["image"]
    out = model(image, batch["keypoints"])
    assert out.joints.shape == out.mesh_joints.shape == (2, 21, 3)
    assert out.vertices.shape == (2, 120, 3)
    assert out.body_pose.shape == (2, 18, 3, 3)
    assert out.betas.shape == (2, 4)
    assert model.upsample(out.vertices)[-1].shape == (2, script.NUM_VERTICES, 3)
    # Weights on disk, for this body and no other.
    save_model(model, tmp_path / "animal.safetensors")
    again = load_model(tmp_path / "animal.safetensors", animal)(image, batch["keypoints"])
    assert (again.vertices - out.vertices).abs().max() < 0.01
    with pytest.raises(InputError, match=r"^weights=.*Give the body that the weights were"):
        load_model(tmp_path / "animal.safetensors")


def test_joints_of_another_skeleton_give_the_boxes(animal):
    model = assemble_model(SMALLER, animal)
    assert model.joint_features.bones == animal.skeleton.bones


def test_an_animal_has_no_face_of_a_human(animal):
    with pytest.raises(InputError, match=r"^face=True: the body has no COCO keypoints.*face=False"):
        assemble_model(dataclasses.replace(POSED, face=True), animal)
