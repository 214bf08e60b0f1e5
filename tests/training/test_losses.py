import math

import pytest
import torch

from bilayer_graph.training.losses import (
    focal_regression_loss,
    joint_loss,
    pose_loss,
    projection_loss,
    shape_loss,
    vertex_loss,
)

SHAPES = {
    vertex_loss: (4, 7, 3),
    joint_loss: (4, 12, 3),
    projection_loss: (4, 12, 2),
    focal_regression_loss: (4, 12, 3),
    pose_loss: (4, 24, 3, 3),
    shape_loss: (4, 10),
}
LOSSES = pytest.mark.parametrize("loss", SHAPES, ids=lambda loss: loss.__name__)
L1 = (vertex_loss, joint_loss, projection_loss)


def pair(loss, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    pred = torch.randn(SHAPES[loss], generator=generator, dtype=dtype, requires_grad=True)
    return pred, torch.randn(SHAPES[loss], generator=generator, dtype=dtype)


def focal_of(error, alpha=1.0, gamma=1.0, truncation=0.9):
    """The formula for one joint, with Python's floats."""
    return -((alpha * error) ** gamma) * math.log(1 - min(truncation, alpha * error))


def entry_losses(loss, pred, target):
    """What every single entry costs, by loops over Python floats; entries of joints are shared."""
    if loss is focal_regression_loss:
        return [
            [focal_of(sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 3) for p, q in rows]
            for rows in (
                list(zip(ps, qs, strict=True))
                for ps, qs in zip(pred.tolist(), target.tolist(), strict=True)
            )
        ]
    cost = abs if loss in L1 else (lambda x: x * x)
    flat = zip(pred.flatten(1).tolist(), target.flatten(1).tolist(), strict=True)
    return [[cost(a - b) for a, b in zip(ps, qs, strict=True)] for ps, qs in flat]


@LOSSES
def test_is_the_mean_over_all_entries(loss):
    pred, target = pair(loss, torch.float64)
    costs = [cost for sample in entry_losses(loss, pred, target) for cost in sample]
    assert loss(pred, target).item() == pytest.approx(sum(costs) / len(costs), rel=1e-12)


@LOSSES
def test_weights_of_samples(loss):
    pred, target = pair(loss, torch.float64)
    weight = torch.tensor([1.0, 0.0, 0.5, 2.0])
    costs = entry_losses(loss, pred, target)
    total = sum(w * sum(sample) for w, sample in zip(weight.tolist(), costs, strict=True))
    assert loss(pred, target, weight=weight).item() == pytest.approx(
        total / (3 * len(costs[0])), rel=1e-12
    )


@pytest.mark.parametrize("loss", [joint_loss, projection_loss, focal_regression_loss, pose_loss])
def test_weights_of_joints(loss):
    pred, target = pair(loss, torch.float64)
    weight = torch.rand(pred.shape[:2], generator=torch.Generator().manual_seed(1))
    weight[weight < 0.4] = 0.0
    total = sum(
        weight[b, j].item() * loss(pred[b : b + 1, j : j + 1], target[b : b + 1, j : j + 1]).item()
        for b in range(pred.shape[0])
        for j in range(pred.shape[1])
    )
    expected = total / int((weight > 0).sum())
    assert loss(pred, target, weight=weight).item() == pytest.approx(expected, rel=1e-6)


@LOSSES
def test_absent_samples_give_no_loss_and_no_gradient(loss):
    pred, target = pair(loss)
    target[1] = math.nan
    target[3] = math.inf
    value = loss(pred, target, weight=torch.tensor([1.0, 0.0, 1.0, 0.0]))
    value.backward()
    present = loss(pred[[0, 2]].detach(), target[[0, 2]])
    torch.testing.assert_close(value.detach(), present)
    assert (pred.grad[[1, 3]] == 0).all()
    assert (pred.grad[[0, 2]] != 0).all()


@LOSSES
def test_nothing_present_is_exactly_zero(loss):
    pred, target = pair(loss)
    value = loss(pred, torch.full_like(target, math.nan), weight=torch.zeros(4))
    value.backward()
    assert value.item() == 0
    assert (pred.grad == 0).all()


@LOSSES
def test_gradient(loss):
    pred, target = pair(loss, torch.float64)
    weight = torch.tensor([1.0, 0.0, 0.5, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: loss(x, target, weight=weight), [pred])


@LOSSES
def test_perfect_prediction_has_zero_loss_and_finite_gradient(loss):
    pred, _ = pair(loss)
    value = loss(pred, pred.detach().clone())
    value.backward()
    assert value.item() == 0
    assert (pred.grad == 0).all()


@LOSSES
def test_bfloat16_is_computed_in_float32(loss):
    pred, target = (x.detach().bfloat16() for x in pair(loss))
    value = loss(pred, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(pred.float(), target.float()))


@LOSSES
def test_boolean_weight(loss):
    pred, target = pair(loss)
    mask = torch.tensor([True, False, True, True])
    torch.testing.assert_close(loss(pred, target, weight=mask), loss(pred[mask], target[mask]))


@LOSSES
def test_nothing_is_broadcast(loss):
    pred, target = pair(loss)
    with pytest.raises(ValueError, match="must be equal"):
        loss(pred, target[:1])
    with pytest.raises(ValueError, match="leading part"):
        loss(pred, target, weight=torch.ones(1))


@pytest.mark.parametrize(("alpha", "gamma"), [(1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (1.5, 0.5)])
@pytest.mark.parametrize("error", [0.001, 0.05, 0.4, 0.59, 0.7, 0.95, 3.0])
def test_focal_formula(error, alpha, gamma):
    pred = torch.full((1, 1, 3), error, dtype=torch.float64)
    value = focal_regression_loss(pred, torch.zeros_like(pred), alpha=alpha, gamma=gamma)
    assert value.item() == pytest.approx(focal_of(error, alpha, gamma), rel=1e-12)


def test_focal_without_focusing_is_the_truncated_logarithm():
    pred = torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64).view(3, 1, 1).expand(3, 1, 3)
    values = [focal_regression_loss(p[None], torch.zeros_like(p[None]), gamma=0.0) for p in pred]
    expected = [0.0, -math.log(0.7), -math.log(0.1)]
    assert [value.item() for value in values] == pytest.approx(expected, abs=1e-12)


def test_focal_gradient_beyond_the_truncation_is_constant():
    pred = torch.tensor([0.95, 1.0, 50.0]).view(3, 1, 1).repeat(1, 1, 3).requires_grad_()
    focal_regression_loss(pred, torch.zeros_like(pred)).backward()
    torch.testing.assert_close(pred.grad, torch.full_like(pred, -math.log(0.1) / 9))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_gradient_is_finite_at_zero_error(gamma):
    pred = torch.zeros(2, 3, 3, requires_grad=True)
    focal_regression_loss(pred, torch.zeros(2, 3, 3), gamma=gamma).backward()
    assert pred.grad.isfinite().all()


@pytest.mark.parametrize(
    "parameter", [{"truncation": 1.0}, {"truncation": 0.0}, {"alpha": 0.0}, {"gamma": -1.0}]
)
def test_focal_parameters_out_of_range(parameter):
    with pytest.raises(ValueError, match=next(iter(parameter))):
        focal_regression_loss(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), **parameter)
