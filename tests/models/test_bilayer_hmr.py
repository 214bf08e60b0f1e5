import dataclasses

import pytest
import torch
from model_samples import BLIND, MODELS, PICTURES, run, seen_by

from bilayer_graph.errors import InputError
from bilayer_graph.models import SMALL, HMROutput, assemble_model, build_model
from bilayer_graph.testing import assert_close, largest_output, sample_features, sighted
from bilayer_graph.training.lifting import mesh_edges, mesh_terms, skeleton_terms
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


def loss_of(model, people, body, device):
    """The loss that each model is trained with."""
    batch = {name: tensor.to(device) for name, tensor in people.items()}
    if model.encoder is not None:
        return total_loss(run(model, people, device), batch, model.vertex_index)["loss"]
    batch["vertices"] = batch["vertices"][:, model.vertex_index]
    features = model.forward_crops(*seen_by(model, people, device))
    skeleton, vertices, joints = model.readout.parts(features)
    edges = mesh_edges(torch.arange(429 * 3, device=device).view(-1, 3) % 431)
    terms = skeleton_terms(skeleton, batch) | mesh_terms(vertices, joints, batch, edges)
    return sum(terms.values())


def test_output_is_typed(model, people):
    out = run(model, people)
    assert isinstance(out, HMROutput)
    assert {field.name for field in dataclasses.fields(out)} == set(SHAPES)
    for name, shape in SHAPES.items():
        value = getattr(out, name)
        assert value.shape == (4, *shape), name
        assert value.dtype == torch.float32, name
        assert value.isfinite().all(), name


def test_items_of_a_batch_do_not_mix(model, people):
    together, (image, keypoints) = run(model, people), seen_by(model, people)
    for i in range(2):
        alone = model(None if image is None else image[i : i + 1], keypoints[i : i + 1])
        for name in SHAPES:
            assert_close(getattr(alone, name)[0], getattr(together, name)[i])


def test_picture_and_keypoints_both_matter(papers, people):
    out = run(papers, people)
    other_image = papers(people["image"].flip(0), people["keypoints"])
    other_points = papers(people["image"], people["keypoints"].flip(0))
    for other in (other_image, other_points):
        for name in ("joints", "vertices", "camera", "betas"):
            assert not torch.equal(getattr(other, name), getattr(out, name)), name


def test_keypoints_matter_to_all_of_a_model_without_pictures(small, people):
    out, other = run(small, people), small(None, people["coco"].flip(0))
    for name in SHAPES:
        assert not torch.equal(getattr(other, name), getattr(out, name)), name


def test_a_new_model_starts_from_geometry_alone(body, people):
    model = assemble_model(PICTURES, body).eval()
    out, other = run(model, people), model(people["image"].flip(0), people["keypoints"])
    assert torch.equal(out.vertices, other.vertices)


def test_mesh_joints_are_regressed_from_the_mesh(model, people):
    out = run(model, people)
    assert_close(out.mesh_joints, model.readout.joint_regressor @ out.vertices)


@pytest.mark.parametrize("training", [False, True])
def test_every_parameter_learns(new_model, body, people, training, device):
    model = new_model.train(training).to(device)
    loss_of(model, people, body, device).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_bfloat16_autocast_stays_close(model, people, device):
    model = model.to(device)
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
    assert_close(narrow.mesh_joints, model.readout.joint_regressor @ narrow.vertices.cpu())


def test_bfloat16_autocast_trains(new_model, body, people, device):
    model = new_model.train().to(device)
    with torch.autocast(device.type, torch.bfloat16):
        loss = loss_of(model, people, body, device)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_double_precision(new_model, people):
    expected, model = run(new_model, people), new_model.double()
    out = run(model, {name: tensor.double() for name, tensor in people.items()})
    for name in SHAPES:
        assert getattr(out, name).dtype == torch.float64, name
        assert_close(getattr(out, name), getattr(expected, name), torch.float16)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(new_model, people, dtype):
    """As Lightning's bf16-true and 16-true have it: all of the model and of its input."""
    expected, model = run(new_model, people), new_model.to(dtype)
    out = run(model, {name: tensor.to(dtype) for name, tensor in people.items()})
    for name in SHAPES:
        got, wanted = getattr(out, name).float(), getattr(expected, name)
        assert (got - wanted).abs().max() < 0.1 * wanted.abs().max(), name


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", MODELS)
def test_another_default_dtype(body, people, double_by_default, name):
    model = assemble_model(MODELS[name], body).eval()
    double = {name: tensor.double() for name, tensor in people.items()}
    assert run(model.double(), double).vertices.dtype == torch.float64


def test_devices_agree(model, people, device):
    expected = run(model, people)
    out = run(model.to(device), people, device)
    model.cpu()
    for name in SHAPES:
        assert_close(getattr(out, name), getattr(expected, name), torch.float16)


def test_nobody_found(model, people):
    image, keypoints = seen_by(model, people)
    out = model(image, torch.zeros_like(keypoints))
    assert all(getattr(out, name).isfinite().all() for name in SHAPES)


def test_a_broken_picture_leaves_the_others_alone(papers, people):
    expected, image = run(papers, people), people["image"].clone()
    image[1] = torch.nan
    image[2, 0, 5, 5] = torch.inf
    with torch.no_grad():
        out = papers(image, people["keypoints"])
    for name in SHAPES:
        assert_close(getattr(out, name)[[0, 3]], getattr(expected, name)[[0, 3]])
        if name != "joints":
            assert not getattr(out, name)[1].isfinite().all(), name


def test_upsample(model, body):
    # The rest pose seen at 431 vertices, and the full mesh that it stands for.
    mesh = sample_features(2, 431, 3)
    meshes = model.upsample(mesh)
    assert [x.shape[1] for x in meshes] == [431, 1723, 6890]
    assert torch.equal(meshes[0], mesh)
    assert_close(meshes[2][:, model.vertex_index], mesh, torch.float16)
    rest = body.v_template
    error = (model.upsample(rest[model.vertex_index].unsqueeze(0))[-1] - rest).norm(dim=-1)
    assert error.mean() < 0.007
    # Joints do not depend on the level that they are regressed at.
    assert_close(body.joints(meshes[2]), model.readout.joint_regressor @ mesh)


def test_fixed_data_are_in_no_checkpoint(model):
    learned = {name for name, _ in model.named_parameters()}
    statistics = ("running_mean", "running_var", "num_batches_tracked", "edge_digest")
    extra = {name for name in model.state_dict() if not name.endswith(statistics)} - learned
    assert not extra


def test_no_message_tensor_is_built(model):
    block, graphs = model.blocks[0], (model.skeleton(), model.mesh())
    channels = model.config.channels
    x = sample_features(4, 12, channels), sample_features(4, 431, channels)
    with largest_output() as largest:
        sum(out.sum() for out in block(x, graphs)).backward()
    messages = 4 * 12 * 431 * channels // 2
    assert largest.numel <= 4 * 431 * channels < messages / 5


def test_the_papers_variant(body):
    model = build_model("paper", body)
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


def test_the_small_variant(body):
    model = build_model("small", body)
    assert model.config == SMALL
    assert model.encoder.channels == (40, 56, 112, 64, 24)
    assert model.joint_features.num_keypoints == 17
    learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in learns) < 5_000_000


@pytest.mark.parametrize("name", MODELS)
def test_another_body(sphere_body, people, name):
    model = assemble_model(MODELS[name], sphere_body).eval()
    out = run(model, people)
    assert out.vertices.shape == (4, 431, 3)
    assert model.upsample(out.vertices)[-1].shape == (4, 642, 3)


def test_what_the_skeleton_says_alone_is_what_a_new_model_says(body, people):
    torch.manual_seed(0)
    model = assemble_model(BLIND, body).eval()
    alone, whole = model.forward_skeleton(people["coco"]), run(model, people)
    assert torch.equal(alone.joints, whole.joints)
    assert torch.equal(alone.betas, whole.betas)
    assert torch.equal(alone.rotations[:, 0], whole.global_orient)
    assert torch.equal(alone.body_vertices, whole.vertices)


def test_what_the_skeleton_says_alone_is_another_thing_once_the_graphs_are_coupled(small, people):
    alone, whole = small.forward_skeleton(people["coco"]), run(small, people)
    assert (alone.joints - whole.joints).abs().max() > 1e-4


def test_a_picture_counts_for_nothing_at_the_start_of_a_posed_model_either(body, people):
    torch.manual_seed(0)
    config = dataclasses.replace(BLIND, backbone="mobilenet_v2", num_blocks=1)
    model = assemble_model(config, body).eval()
    alone, whole = model.forward_skeleton(people["coco"]), run(model, people)
    assert torch.equal(alone.joints, whole.joints)
    other = sighted(model)(people["image"], people["coco"])
    assert not torch.equal(other.joints, whole.joints)


def test_a_free_model_has_no_body_without_its_mesh(papers, people):
    message = r'^readout=free: the body comes from the mesh.*Build .*readout="posed"'
    with pytest.raises(InputError, match=message):
        papers.forward_skeleton(people["keypoints"])


def test_no_such_variant(body):
    with pytest.raises(InputError, match=r"^variant=large: no such variant.*\['paper', 'small'\]"):
        build_model("large", body)


@pytest.mark.parametrize("shape", [(4, 3, 128, 64), (4, 1, 128, 128), (3, 128, 128)], ids=str)
def test_pictures_of_another_size(papers, people, shape):
    with pytest.raises(InputError, match=r"^image=\[.*Give a batch of crops .*\[B, 3, 128, 128\]"):
        papers(torch.zeros(shape), people["keypoints"])


def test_a_model_of_pictures_without_one(papers, people):
    with pytest.raises(InputError, match=r"^image=None: .*Give a batch of crops .*\[B, 3, 128"):
        papers(None, people["keypoints"])


@pytest.mark.parametrize("shape", [(3, 12, 3), (4, 17, 3), (4, 12, 2)], ids=str)
def test_keypoints_of_another_batch(papers, people, shape):
    with pytest.raises(InputError, match=r"^keypoints=\[.*Give one row .*\[4, 12, 3\]"):
        papers(people["image"], torch.zeros(shape))


@pytest.mark.parametrize("shape", [(4, 12, 3), (4, 17, 2)], ids=str)
def test_keypoints_of_another_skeleton(small, shape):
    with pytest.raises(InputError, match=r"^keypoints=\[.*Give one row .*\[4, 17, 3\]"):
        small(None, torch.zeros(shape))
