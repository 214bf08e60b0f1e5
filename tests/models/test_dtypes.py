"""Models in half and double precision, and people whose numbers are not finite."""

import copy

import pytest
import torch
from model_samples import run, seen_by

from bilayer_graph.models.lifting import Crops, lift
from bilayer_graph.nn import StaticGraph, WideLinear
from bilayer_graph.testing import assert_close

# How far coordinates of a body may move, in metres.
CLOSE = {torch.float64: 1e-5, torch.bfloat16: 0.02, torch.float16: 0.003}


def returned(dtype):
    return torch.promote_types(dtype, torch.float32)


def crops_of(model, people):
    image, _ = seen_by(model, people)
    centre, half = torch.tensor([[0.1, -0.05]]).repeat(4, 1), torch.full((4,), 0.2)
    return Crops(people["coco"], centre, half, image)


@torch.no_grad()
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
def test_forward(model, people, dtype):
    wanted = run(model, people)
    other = copy.deepcopy(model).to(dtype)
    seen = [None if part is None else part.to(dtype) for part in seen_by(model, people)]
    # Inputs of float32, and of the model's own dtype.
    for out in (run(other, people), other(*seen)):
        for name in vars(wanted):
            assert getattr(out, name).dtype == returned(dtype), name
        for name in ("joints", "vertices", "mesh_joints"):
            moved = getattr(out, name) - getattr(wanted, name)
            assert moved.abs().max() < CLOSE[dtype], name


@torch.no_grad()
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
def test_lift(model, body, people, dtype):
    wanted = lift(model, body, crops_of(model, people))
    lifted = lift(copy.deepcopy(model).to(dtype), body, crops_of(model, people))
    for name in vars(wanted):
        assert getattr(lifted, name).dtype == returned(dtype), name
    for name in ("joints", "vertices", "free_vertices"):
        moved = getattr(lifted, name) - getattr(wanted, name)
        assert moved.abs().max() < 2 * CLOSE[dtype], name


def test_trains_in_bfloat16(new_model, people):
    model = new_model.train().bfloat16()
    out = run(model, people)
    (out.joints.square().sum() + out.vertices.square().sum() + out.body_pose.sum()).backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.dtype == torch.bfloat16
            assert parameter.grad.isfinite().all(), name


def test_coordinates_of_the_body_are_not_rounded(model, people):
    narrow = copy.deepcopy(model).half()
    for name, buffer in narrow.readout.named_buffers():
        # What the paper's regressor reads beside the mesh is an input of its layers.
        if name != "regressor.template":
            assert torch.equal(buffer, model.readout.get_buffer(name)), name
    for mesh in zip(narrow.upsampling, model.upsampling, strict=True):
        assert torch.equal(*(level().value for level in mesh))
    assert all(parameter.dtype == torch.float16 for parameter in narrow.parameters())
    # The way back to double precision is as it was.
    assert all(level().value.dtype == torch.float64 for level in narrow.double().upsampling)


def test_buffers_of_half_precision_may_stay_so():
    edges = torch.tensor([[0, 1], [1, 0]])
    graph = StaticGraph(edges, torch.ones(2, dtype=torch.bfloat16), (2, 2)).half()
    assert graph().value.dtype == torch.float16


def test_wide_linear_rounds_its_weights_only():
    torch.manual_seed(0)
    layer, x = WideLinear(64, 3), torch.randn(5, 64)
    narrow = copy.deepcopy(layer).bfloat16()
    wanted = x @ narrow.weight.float().t() + narrow.bias.float()
    assert_close(narrow(x), wanted)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert_close(out, x @ layer.weight.t() + layer.bias)


@torch.no_grad()
def test_a_person_who_is_not_finite_costs_nobody_else(model, body, people):
    broken = copy.deepcopy(people)
    broken["image"][1, :, 5] = float("nan")
    broken["coco"][1], broken["keypoints"][1] = float("inf"), float("nan")
    rest = [0, 2, 3]
    answers = [(run(model, broken), run(model, people))]
    answers += [
        (lift(model, body, crops_of(model, broken)), lift(model, body, crops_of(model, people)))
    ]
    for got, wanted in answers:
        for name, expected in vars(wanted).items():
            assert_close(getattr(got, name)[rest], expected[rest])
