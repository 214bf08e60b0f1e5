import pytest
import torch

from bilayer_graph.body import UPRIGHT
from bilayer_graph.models import BodyHead
from bilayer_graph.testing import assert_close, sample_features

X = sample_features(6, 5, 16)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return BodyHead(5, 16, 7, 3)


@pytest.mark.parametrize("autocast", [False, True])
def test_gives_rotations_and_shape(head, autocast, device):
    head = head.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        rotations, betas = head(X.to(device))
    assert rotations.shape == (6, 7, 3, 3)
    assert betas.shape == (6, 3)
    assert rotations.dtype == betas.dtype == torch.float32
    assert_close(rotations @ rotations.mT, torch.eye(3).expand(6, 7, 3, 3))
    assert_close(torch.linalg.det(rotations), torch.ones(6, 7))


def test_is_what_its_formula_says(head):
    head, x = head.double(), X.double().reshape(6, 80)
    linear = torch.nn.functional.linear
    x = torch.nn.functional.layer_norm(x, (80,), head.norm.weight, head.norm.bias)
    x = linear(x, head.lin_in.weight, head.lin_in.bias).relu()
    x = linear(x, head.lin_out.weight, head.lin_out.bias)
    rotations, betas = head(X.double())
    assert_close(betas, x[:, 42:])
    first, second = (x[:, :42].view(6, 7, 2, 3)[:, :, column] for column in range(2))
    first, second = first + UPRIGHT[:, 0], second + UPRIGHT[:, 1]
    first = first / first.norm(dim=-1, keepdim=True)
    assert_close(rotations[..., 0], first)
    # The second column lies in the plane of both, on the second's side.
    assert_close(torch.linalg.cross(first, rotations[..., 1]), rotations[..., 2])
    assert ((second * rotations[..., 1]).sum(-1) > 0).all()
    assert (second * rotations[..., 2]).sum(-1).abs().max() < 1e-9


def test_without_evidence_a_body_is_upright(head):
    for parameter in head.lin_out.parameters():
        torch.nn.init.zeros_(parameter)
    rotations, betas = head(X)
    assert_close(rotations, UPRIGHT.expand(6, 7, 3, 3))
    assert (betas == 0).all()


def test_every_bone_sees_every_joint(head):
    x = X.clone().requires_grad_()
    for bone in range(7):
        x.grad = None
        head(x)[0][:, bone, 0].sum().backward()
        assert (x.grad.abs().sum(dim=(0, 2)) > 0).all(), bone


def test_gradients_reach_every_parameter(head):
    rotations, betas = head(X)
    (rotations.square() * torch.arange(9.0).view(3, 3)).sum().add(betas.sum()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert "upright" not in head.state_dict()
