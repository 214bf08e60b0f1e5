import pytest
import torch

from bilayer_graph.ops import group_norm, reference
from bilayer_graph.testing import assert_close, sample_features

# batch, nodes, channels, groups
SHAPES = [(2, 13, 24, 3), (3, 1, 16, 2), (1, 7, 5, 5), (2, 6, 9, 1), (1, 433, 64, 8), (0, 5, 8, 2)]


def problem(shape, dtype):
    batch, nodes, channels, groups = shape
    x = 3 * sample_features(batch, nodes, channels, seed=1, dtype=dtype) + 2
    return x, groups, *sample_features(2, channels, seed=2, dtype=dtype)


@pytest.mark.filterwarnings("ignore:var_mean")  # torch's comment on an empty batch
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_equals_the_reference(shape, dtype, device):
    x, groups, weight, bias = problem(shape, dtype)
    out = group_norm(x.to(device), groups, weight.to(device), bias.to(device), 1e-5)
    assert out.dtype == dtype
    wide = (x.double(), groups, weight.double(), bias.double(), 1e-5)
    assert_close(out, reference.group_norm(*wide))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_statistics_of_half_precision_are_wide(dtype, device):
    x, groups, weight, bias = problem((2, 433, 16, 2), torch.float32)
    x = x.to(dtype)
    out = group_norm(x.to(device), groups, weight.to(device), bias.to(device), 1e-5)
    assert out.dtype == dtype
    expected = reference.group_norm(x.float(), groups, weight, bias, 1e-5)
    # The wide result, rounded once.
    rounding = torch.finfo(dtype).eps / 2 * expected.abs() + 1e-5
    assert ((out.cpu().float() - expected).abs() <= rounding).all()


@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_gradients_equal_those_of_the_reference(shape):
    x, groups, weight, bias = problem(shape, torch.float64)
    leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
    upstream = sample_features(*x.shape, seed=3, dtype=torch.float64)

    def gradients(op):
        out = op(leaves[0], groups, leaves[1], leaves[2], 1e-5)
        return torch.autograd.grad(out, leaves, upstream)

    results = zip(gradients(group_norm), gradients(reference.group_norm), strict=True)
    for actual, expected in results:
        assert_close(actual, expected)


def test_normalised_groups_have_mean_zero_and_variance_one():
    x, groups, _, _ = problem((2, 50, 24, 3), torch.float64)
    out = group_norm(x, groups, torch.ones(24).double(), torch.zeros(24).double(), 0.0)
    grouped = out.view(2, 50, 3, 8).transpose(1, 2).flatten(2)
    assert grouped.mean(2).abs().max() < 1e-12
    assert_close(grouped.var(2, correction=0), torch.ones(2, 3))


def test_any_memory_layout():
    x, groups, weight, bias = problem((2, 13, 24, 3), torch.float64)
    channels_first = x.transpose(1, 2).contiguous().transpose(1, 2)
    expected = group_norm(x, groups, weight, bias, 1e-5)
    assert_close(group_norm(channels_first, groups, weight, bias, 1e-5), expected)


def test_items_of_a_batch_do_not_mix():
    x, groups, weight, bias = problem((2, 13, 24, 3), torch.float64)
    alone = group_norm(x[:1], groups, weight, bias, 1e-5)
    assert_close(group_norm(x, groups, weight, bias, 1e-5)[:1], alone)
