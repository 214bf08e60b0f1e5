import dataclasses

import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.models import HMROutput, bilayer_paper, bilayer_small, build_model
from bilayer_graph.testing import assert_close, largest_output, sample_features, sighted
from bilayer_graph.training.lightning import total_loss

SHAPES = {
    "joints": (12, 3),
    "vertices": (431, 3),
    "mesh_joints": (12, 3),
    "camera": (3,),
    "global_orient": (3, 3),
    "body_pose": (23, 3, 3),
    "betas": (10,),
}


def run(model, people, device="cpu"):
    return model(people["image"].to(device), people["keypoints"].to(device))


def test_output_is_typed(small, people):
    out = run(small, people)
    assert isinstance(out, HMROutput)
    assert {field.name for field in dataclasses.fields(out)} == set(SHAPES)
    for name, shape in SHAPES.items():
        value = getattr(out, name)
        assert value.shape == (4, *shape), name
        assert value.dtype == torch.float32, name
        assert value.isfinite().all(), name


def test_items_of_a_batch_do_not_mix(small, people):
    together = run(small, people)
    for i in range(2):
        alone = small(people["image"][i : i + 1], people["keypoints"][i : i + 1])
        for name in SHAPES:
            assert_close(getattr(alone, name)[0], getattr(together, name)[i])


def test_picture_and_keypoints_both_matter(small, people):
    out = run(small, people)
    other_image = small(people["image"].flip(0), people["keypoints"])
    other_points = small(people["image"], people["keypoints"].flip(0))
    for other in (other_image, other_points):
        for name in ("joints", "vertices", "camera", "betas"):
            assert not torch.equal(getattr(other, name), getattr(out, name)), name


def test_a_new_model_starts_from_geometry_alone(body, people):
    model = bilayer_small(body).eval()
    out, other = run(model, people), model(people["image"].flip(0), people["keypoints"])
    assert torch.equal(out.vertices, other.vertices)


def test_mesh_joints_are_regressed_from_the_mesh(small, people):
    out = run(small, people)
    assert_close(out.mesh_joints, small.joint_regressor @ out.vertices)


@pytest.mark.parametrize("training", [False, True])
def test_every_parameter_learns(body, people, training, device):
    torch.manual_seed(0)
    model = sighted(bilayer_small(body)).train(training).to(device)
    batch = {name: tensor.to(device) for name, tensor in people.items()}
    total_loss(run(model, people, device), batch, model.vertex_index)["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_bfloat16_autocast_stays_close(small, people, device):
    model = small.to(device)
    with torch.no_grad():
        wide = run(model, people, device)
        with torch.autocast(device.type, torch.bfloat16):
            narrow = run(model, people, device)
    model.cpu()
    for name in SHAPES:
        got, expected = getattr(narrow, name), getattr(wide, name)
        assert got.dtype == torch.float32, name
        assert got.isfinite().all(), name
        assert (got - expected).abs().max() < 0.1 * expected.abs().max(), name
    # Coordinates and their joints are not rounded to bfloat16's millimetres.
    assert_close(narrow.mesh_joints, model.joint_regressor @ narrow.vertices.cpu())


def test_bfloat16_autocast_trains(body, people, device):
    torch.manual_seed(0)
    model = sighted(bilayer_small(body)).to(device)
    batch = {name: tensor.to(device) for name, tensor in people.items()}
    with torch.autocast(device.type, torch.bfloat16):
        loss = total_loss(run(model, people, device), batch, model.vertex_index)["loss"]
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_devices_agree(small, people, device):
    expected = run(small, people)
    out = run(small.to(device), people, device)
    small.cpu()
    for name in SHAPES:
        assert_close(getattr(out, name), getattr(expected, name), torch.float16)


def test_nobody_found(small, people):
    out = small(people["image"], torch.zeros(4, 12, 3))
    assert all(getattr(out, name).isfinite().all() for name in SHAPES)


def test_upsample(small, body):
    # The rest pose seen at 431 vertices, and the full mesh that it stands for.
    mesh = sample_features(2, 431, 3)
    meshes = small.upsample(mesh)
    assert [x.shape[1] for x in meshes] == [431, 1723, 6890]
    assert torch.equal(meshes[0], mesh)
    assert_close(meshes[2][:, small.vertex_index], mesh, torch.float16)
    rest = body.v_template
    error = (small.upsample(rest[small.vertex_index].unsqueeze(0))[-1] - rest).norm(dim=-1)
    assert error.mean() < 0.007
    # Joints do not depend on the level that they are regressed at.
    assert_close(body.joints(meshes[2]), small.joint_regressor @ mesh)


def test_fixed_data_are_in_no_checkpoint(small):
    learned = {name for name, _ in small.named_parameters()}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    extra = {name for name in small.state_dict() if not name.endswith(statistics)} - learned
    assert not extra


def test_no_message_tensor_is_built(small):
    block, graphs = small.blocks[0], (small.skeleton(), small.mesh())
    x = sample_features(4, 12, 128), sample_features(4, 431, 128)
    with largest_output() as largest:
        sum(out.sum() for out in block(x, graphs)).backward()
    messages = 4 * 12 * 431 * 64
    assert largest.numel <= 4 * 431 * 128 < messages / 5


def test_the_papers_variant(body):
    model = bilayer_paper(body)
    assert model.encoder.channels == (256, 512, 1024, 2048)
    assert model.image_size == 224
    assert len(model.blocks) == 5
    for block in model.blocks:
        assert block.out_channels == 512
        assert block.fusions[0].conv.edge_weight.numel() == 41_352
    model.eval()
    with torch.no_grad():
        out = model(torch.rand(1, 3, 224, 224), torch.rand(1, 12, 3))
    assert out.vertices.shape == (1, 1723, 3)
    assert out.body_pose.shape == (1, 23, 3, 3)


def test_another_body(sphere_body, people):
    model = bilayer_small(sphere_body).eval()
    out = run(model, people)
    assert out.vertices.shape == (4, 431, 3)
    assert model.upsample(out.vertices)[-1].shape == (4, 642, 3)


def test_no_such_variant(body):
    with pytest.raises(InputError, match=r"^variant=large: no such variant.*\['paper', 'small'\]"):
        build_model("large", body)


@pytest.mark.parametrize("shape", [(4, 3, 128, 64), (4, 1, 128, 128), (3, 128, 128)], ids=str)
def test_pictures_of_another_size(small, people, shape):
    with pytest.raises(InputError, match=r"^image=\[.*Give a batch of crops .*\[B, 3, 128, 128\]"):
        small(torch.zeros(shape), people["keypoints"])


@pytest.mark.parametrize("shape", [(3, 12, 3), (4, 17, 3), (4, 12, 2)], ids=str)
def test_keypoints_of_another_batch(small, people, shape):
    with pytest.raises(InputError, match=r"^keypoints=\[.*Give one row .*\[4, 12, 3\]"):
        small(people["image"], torch.zeros(shape))
