"""Models of a body that is no human: the quadruped of the examples."""

import dataclasses
from pathlib import Path

import pytest
import torch

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.models import ModelConfig, assemble_model, load_model, save_model

FILE = Path(__file__).parents[2] / "examples" / "quadruped.npz"
SMALLER = ModelConfig("plain", 96, num_vertices=120, channels=32, num_blocks=1, hidden=16)
POSED = dataclasses.replace(
    SMALLER, backbone="none", norm="layer", joint_input="pose", readout="posed"
)


@pytest.fixture(scope="module")
def animal():
    return BodyModel.load(FILE)


@pytest.mark.parametrize("config", [SMALLER, POSED], ids=["free", "posed"])
def test_the_model_takes_its_sizes_from_the_body(animal, tmp_path, config):
    torch.manual_seed(0)
    model = assemble_model(config, animal).eval()
    keypoints = torch.rand(2, 21, 3)
    image = None if model.encoder is None else torch.rand(2, 3, 96, 96)
    out = model(image, keypoints)
    assert out.joints.shape == out.mesh_joints.shape == (2, 21, 3)
    assert out.vertices.shape == (2, 120, 3)
    assert out.body_pose.shape == (2, 18, 3, 3)
    assert out.betas.shape == (2, 4)
    assert model.upsample(out.vertices)[-1].shape == (2, 1500, 3)
    # Weights on disk, for this body and no other.
    save_model(model, tmp_path / "animal.safetensors")
    again = load_model(tmp_path / "animal.safetensors", animal)(image, keypoints)
    assert (again.vertices - out.vertices).abs().max() < 0.01
    with pytest.raises(InputError, match=r"^weights=.*Give the body that the weights were"):
        load_model(tmp_path / "animal.safetensors")


def test_bones_of_another_skeleton_give_the_boxes(animal):
    model = assemble_model(SMALLER, animal)
    assert model.joint_features.bones.tolist() == [[*bone] for bone in animal.skeleton.bones]


def test_an_animal_has_no_face_of_a_human(animal):
    with pytest.raises(InputError, match=r"^face=True: the body has no COCO keypoints.*face=False"):
        assemble_model(dataclasses.replace(POSED, face=True), animal)
