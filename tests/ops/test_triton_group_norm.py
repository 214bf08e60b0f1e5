"""The CUDA kernels of group normalisation: on a GPU, or interpreted on a CPU."""

from importlib import import_module

import pytest
import torch

from bilayer_graph.ops import reference
from bilayer_graph.testing import assert_close, sample_features

forward = pytest.importorskip("bilayer_graph.ops._triton.group_norm")
backward = pytest.importorskip("bilayer_graph.ops._triton.group_norm_backward")
op = import_module("bilayer_graph.ops._group_norm")

pytestmark = pytest.mark.usefixtures("poisoned_memory", "kernel_device")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Batch, nodes, channels, groups: one node, groups of odd sizes, of one channel, of all channels.
SHAPES = [(2, 13, 24, 3), (3, 1, 16, 2), (1, 7, 5, 5), (2, 6, 9, 1), (1, 1, 1, 1), (2, 40, 130, 13)]
LARGE = [(2, 101, 64, 8), (1, 130, 48, 8), (3, 70, 144, 1)]
RELU = pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
# Features and, in a model that was made narrow, its weights.
DTYPES = torch.float32, torch.float16, torch.bfloat16
NUMBER = dict(zip(DTYPES, (torch.float32, torch.float32, torch.bfloat16), strict=True))
KERNELS = ["_moments_kernel", "_norm_kernel", "_sums_kernel", "_grad_kernel", "_total_kernel"]


@pytest.fixture(params=["alone", "parts"])
def way(request, monkeypatch):
    """A program takes all nodes of its groups, or a part of them."""
    monkeypatch.setattr(forward, "_ALONE", 2**30 if request.param == "alone" else 0)


def problem(shape, dtype, mean=2.0):
    batch, nodes, channels, groups = shape
    x = 3 * sample_features(batch, nodes, channels, seed=1, dtype=torch.float64) + mean
    weight, bias = sample_features(2, channels, seed=2).to(DEVICE, NUMBER[dtype])
    grad = sample_features(batch, nodes, channels, seed=3, dtype=dtype)
    return x.to(dtype).to(DEVICE), groups, weight, bias, grad.to(DEVICE)


def expected(x, groups, weight, bias, grad, relu):
    """The result and all gradients in float64."""
    leaves = [tensor.detach().double().requires_grad_() for tensor in (x, weight, bias)]
    out = reference.group_norm(leaves[0], groups, *leaves[1:], 1e-5, relu)
    return out, *torch.autograd.grad(out, leaves, grad.double())


def launch(x, groups, weight, bias, grad, relu):
    out, *moments = forward.group_norm(x, groups, weight, bias, 1e-5, relu)
    return out, *backward.group_norm_backward(grad, x, weight, bias, *moments, relu)


@RELU
@pytest.mark.parametrize("shape", [*SHAPES, *LARGE], ids=str)
@pytest.mark.parametrize("dtype", NUMBER, ids=str)
def test_equals_the_reference(shape, dtype, relu, way):
    given = problem(shape, dtype)
    results = launch(*given, relu)
    assert [each.dtype for each in results] == [dtype] * 2 + [NUMBER[dtype]] * 2
    for actual, wanted in zip(results, expected(*given, relu), strict=True):
        # Where a gradient is 0, its error is that of the terms that cancel in it.
        assert_close(1 + actual.double(), 1 + wanted, dtype)


@pytest.mark.parametrize("programs", [1, 2, 5, 10**6])
def test_any_number_of_parts(programs, monkeypatch):
    monkeypatch.setattr(forward, "_ALONE", 0)
    monkeypatch.setattr(forward.tiles, "PROGRAMS", programs)
    monkeypatch.setattr(forward, "_PARTS", 2)
    given = problem((1, 301, 64, 8), torch.float32)
    parts = forward.split(given[0], 8).parts
    assert parts == min(programs, 10)
    for actual, wanted in zip(launch(*given, True), expected(*given, True), strict=True):
        assert_close(actual, wanted)


@pytest.mark.parametrize("mean", [1e4, -1e4])
def test_a_mean_far_from_zero_costs_no_more_digits_than_on_a_cpu(mean, way):
    x, groups, weight, bias, _ = problem((2, 431, 32, 4), torch.float32, mean)
    given = groups, weight, bias, 1e-5, False
    wanted = reference.group_norm(x.double(), groups, weight.double(), bias.double(), 1e-5)
    out, _, rstd = forward.group_norm(x, *given)
    on_cpu = op._group_norm(x.cpu(), groups, weight.cpu(), bias.cpu(), 1e-5, False)
    assert (out - wanted).abs().max() <= (on_cpu[0] - wanted.cpu()).abs().max()
    grouped = x.double().unflatten(2, (groups, -1)).transpose(1, 2).flatten(2)
    assert_close(rstd.flatten(1), (grouped.var(2, correction=0) + 1e-5).rsqrt(), torch.float32)


def test_the_same_input_gives_the_same_bits(way):
    given = problem((2, 301, 64, 8), torch.float32)
    results = zip(launch(*given, True), launch(*given, True), strict=True)
    assert all(torch.equal(first, second) for first, second in results)


def test_any_memory_layout(way):
    x, groups, weight, bias, grad = problem((2, 97, 24, 3), torch.float32)
    turned = x.transpose(1, 2).contiguous().transpose(1, 2)
    strided = weight.repeat_interleave(2)[::2]
    wide = grad[:, :1, :1].expand_as(grad)
    results = launch(turned, groups, strided, bias, wide, True)
    for actual, wanted in zip(results, expected(x, groups, weight, bias, wide, True), strict=True):
        assert_close(actual, wanted)


class Counted:
    """A kernel that says when it is launched."""

    def __init__(self, kernel, launched):
        self.kernel, self.launched = kernel, launched

    def __getitem__(self, grid):
        self.launched.append((self.kernel.__name__, grid))
        return self.kernel[grid]


@pytest.fixture
def launched(monkeypatch):
    """The kernels that are launched, and their grids."""
    found = []
    for module in (forward, backward):
        for name in KERNELS:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, Counted(getattr(module, name), found))
    return found


@pytest.mark.parametrize(("nodes", "launches"), [(12, (1, 2)), (431, (2, 3))])
def test_what_the_operation_does_on_a_gpu(nodes, launches, launched):
    x, groups, weight, bias, grad = problem((2, nodes, 64, 8), torch.float32)
    out, *moments = op._group_norm_cuda(x, groups, weight, bias, 1e-5, True)
    assert len(launched) == launches[0]
    results = out, *op._group_norm_backward_cuda(grad, x, weight, bias, *moments, True)
    assert len(launched) == sum(launches)
    wanted = expected(x, groups, weight, bias, grad, True)
    for actual, each in zip(results, wanted, strict=True):
        assert_close(actual, each)


WITHOUT = {
    "float64": ((2, 6, 9, 1), torch.float64),
    "large groups": ((1, 3, 1025, 1), torch.float32),
    "empty": ((0, 5, 8, 2), torch.float32),
}


@pytest.mark.parametrize(("shape", "dtype"), WITHOUT.values(), ids=WITHOUT)
@pytest.mark.filterwarnings("ignore:var_mean")  # torch's comment on an empty batch
def test_what_has_no_kernel_is_computed_by_torch(shape, dtype, launched):
    x, groups, weight, bias, grad = problem(shape, torch.float32)
    x, grad = x.to(dtype), grad.to(dtype)
    out, *moments = op._group_norm_cuda(x, groups, weight, bias, 1e-5, True)
    results = out, *op._group_norm_backward_cuda(grad, x, weight, bias, *moments, True)
    wanted = expected(x, groups, weight, bias, grad, True)
    for actual, each in zip(results, wanted, strict=True):
        assert_close(actual, each, torch.float32)
    assert not launched
