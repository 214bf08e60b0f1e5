import pytest
import torch

from bilayer_graph.models import CameraHead, NodeHead, SMPLRegressor
from bilayer_graph.nn import LayerNorm
from bilayer_graph.ops import reference
from bilayer_graph.testing import assert_close, sample_features


@pytest.fixture
def head():
    torch.manual_seed(0)
    return NodeHead(32, 3)


def test_node_head_is_what_its_formula_says(head):
    x = sample_features(2, 9, 32)
    norm = reference.group_norm(x, 4, head.norm.weight, head.norm.bias, 1e-5)
    hidden = (norm.relu() @ head.lin_in.weight.t() + head.lin_in.bias).relu()
    assert_close(head(x), hidden @ head.lin_out.weight.t() + head.lin_out.bias)


def test_node_head_with_layer_norm():
    torch.manual_seed(0)
    head, x = NodeHead(32, 3, "layer").double(), sample_features(2, 9, 32).double()
    norm = torch.nn.functional.layer_norm(x, (32,), head.norm.weight, head.norm.bias)
    hidden = (norm.relu() @ head.lin_in.weight.t() + head.lin_in.bias).relu()
    assert_close(head(x), hidden @ head.lin_out.weight.t() + head.lin_out.bias)
    assert isinstance(CameraHead(32, "layer").head.norm, LayerNorm)


def test_coordinates_are_float32_under_autocast(head, device):
    head, x = head.to(device), sample_features(2, 9, 32).to(device)
    wide = head(x)
    with torch.autocast(device.type, torch.bfloat16):
        narrow = head(x)
    assert narrow.dtype == torch.float32
    assert not torch.equal(narrow, narrow.bfloat16().float())
    assert_close(narrow, wide, torch.bfloat16)


def test_camera_is_the_mean_over_the_nodes():
    torch.manual_seed(0)
    camera, x = CameraHead(32), sample_features(2, 9, 32)
    mean = camera.head(x).mean(dim=1)
    assert_close(camera(x)[:, 0], 0.9 * mean[:, 0].exp())
    assert_close(camera(x)[:, 1:], mean[:, 1:])


def test_camera_scale_is_positive():
    torch.manual_seed(0)
    camera = CameraHead(32)
    torch.nn.init.normal_(camera.head.lin_out.weight, std=5)
    assert (camera(sample_features(20, 9, 32))[:, 0] > 0).all()


def test_a_camera_without_evidence():
    camera = CameraHead(32)
    for parameter in camera.head.lin_out.parameters():
        torch.nn.init.zeros_(parameter)
    assert_close(camera(sample_features(1, 9, 32)), torch.tensor([[0.9, 0, 0]]))


VERTICES = sample_features(7, 3, seed=1)


@pytest.fixture
def regressor():
    torch.manual_seed(0)
    regressor = SMPLRegressor(VERTICES, 24, 32)
    torch.nn.init.normal_(regressor.lin_out.weight)
    return regressor


@pytest.mark.parametrize("autocast", [False, True])
def test_regressor_gives_rotations(regressor, autocast, device):
    regressor = regressor.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        rotations, betas = regressor(sample_features(5, 7, 3).to(device))
    assert rotations.shape == (5, 24, 3, 3)
    assert betas.shape == (5, 10)
    assert rotations.dtype == betas.dtype == torch.float32
    assert_close(rotations @ rotations.mT, torch.eye(3).expand(5, 24, 3, 3))
    assert_close(torch.linalg.det(rotations), torch.ones(5, 24))


def test_regressor_is_what_its_formula_says(regressor):
    mesh = sample_features(5, 7, 3)
    linear = torch.nn.functional.linear
    x = torch.cat([mesh.flatten(1), VERTICES.flatten().expand(5, 21)], dim=1)
    x = linear(x, regressor.lin_in.weight, regressor.lin_in.bias).relu()
    x = x + linear(x, regressor.lin_hidden.weight, regressor.lin_hidden.bias).relu()
    x = linear(x, regressor.lin_out.weight, regressor.lin_out.bias)
    rotations, betas = regressor(mesh)
    assert_close(betas, x[:, -10:])
    # The nearest rotation R of M makes R^T M symmetric, with no two negative eigenvalues' sum.
    symmetric = rotations.mT @ x[:, :-10].view(5, 24, 3, 3)
    assert (symmetric - symmetric.mT).abs().max() < 1e-4 * symmetric.abs().max()
    lowest = torch.linalg.eigvalsh((symmetric + symmetric.mT) / 2)[..., :2]
    assert (lowest.sum(-1) > -1e-3).all()


def test_regressor_does_not_pull_on_the_mesh(regressor):
    mesh = sample_features(5, 7, 3).requires_grad_()
    rotations, betas = regressor(mesh)
    (rotations.sum() + betas.sum()).backward()
    assert mesh.grad is None
    for parameter in regressor.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0


def test_regressor_starts_near_the_rest_pose():
    torch.manual_seed(0)
    rotations, betas = SMPLRegressor(VERTICES, 24, 32)(VERTICES.unsqueeze(0))
    assert (rotations - torch.eye(3)).abs().max() < 0.3
    assert betas.abs().max() < 0.3
    assert "template" not in SMPLRegressor(VERTICES, 24, 32).state_dict()


def test_regressor_of_another_body():
    torch.manual_seed(0)
    rotations, betas = SMPLRegressor(VERTICES, 5, 32, num_betas=3)(sample_features(2, 7, 3))
    assert rotations.shape == (2, 5, 3, 3)
    assert betas.shape == (2, 3)
