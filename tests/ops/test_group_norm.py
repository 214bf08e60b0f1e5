import shutil
from importlib import import_module

import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.ops import group_norm, reference, segment_group_norm, use_native
from bilayer_graph.testing import assert_close, sample_features

# batch, nodes, channels, groups
SHAPES = [(2, 13, 24, 3), (3, 1, 16, 2), (1, 7, 5, 5), (2, 6, 9, 1), (5, 433, 64, 8), (0, 5, 8, 2)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
RELU = pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
OP = torch.ops.bilayer_graph
module = import_module("bilayer_graph.ops._group_norm")


@pytest.fixture(params=["sums", "moments", "native"], autouse=True)
def way(request, monkeypatch):
    """Small features take the ways of large ones: by sums, by torch's batch norm, by C++."""
    monkeypatch.setattr(module, "_SHORT", 0)
    monkeypatch.setattr(module, "_LONG", 1 if request.param == "moments" else 2**62)
    if request.param == "native":
        if shutil.which("ninja") is None or shutil.which("c++") is None:
            pytest.skip("no C++ compiler and ninja")
        use_native()
    yield
    use_native(False)


def problem(shape, dtype=torch.float64, device="cpu"):
    batch, nodes, channels, groups = shape
    x = 3 * sample_features(batch, nodes, channels, seed=1, dtype=torch.float64) + 2
    weight, bias = sample_features(2, channels, seed=2)
    wide = dtype if dtype == torch.float64 else torch.float32
    return x.to(dtype).to(device), groups, weight.to(wide).to(device), bias.to(wide).to(device)


def gradients(op, shape, dtype, device="cpu", relu=False):
    x, groups, weight, bias = problem(shape, dtype, device)
    if op is reference.group_norm:
        x, weight, bias = x.double(), weight.double(), bias.double()
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    upstream = sample_features(*x.shape, seed=3).to(x)
    return torch.autograd.grad(op(x, groups, weight, bias, 1e-5, relu), leaves, upstream)


@pytest.mark.filterwarnings("ignore:var_mean")  # torch's comment on an empty batch
@RELU
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_the_reference(shape, dtype, relu, device, poisoned_memory):
    x, groups, weight, bias = problem(shape, dtype, device)
    out = group_norm(x, groups, weight, bias, 1e-5, relu)
    assert out.dtype == dtype
    assert out.is_contiguous()
    wide = (x.double(), groups, weight.double(), bias.double(), 1e-5, relu)
    assert_close(out, reference.group_norm(*wide))


@RELU
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_few_features_are_normalised_by_torch(dtype, relu, monkeypatch):
    use_native(False)
    monkeypatch.setattr(module, "_SHORT", 2**16)
    monkeypatch.setattr(module, "call", None if dtype in DTYPES[:2] else module.call)
    x, groups, weight, bias = problem((2, 13, 24, 3), dtype)
    out = group_norm(x, groups, weight, bias, 1e-5, relu)
    assert out.is_contiguous()
    wide = (x.double(), groups, weight.double(), bias.double(), 1e-5, relu)
    assert_close(out, reference.group_norm(*wide))


@RELU
@pytest.mark.parametrize("shape", SHAPES[:5], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_equal_those_of_the_reference(shape, dtype, relu, device, poisoned_memory):
    results = gradients(group_norm, shape, dtype, device, relu)
    wide = gradients(reference.group_norm, shape, dtype, device, relu)
    assert [result.dtype for result in results[1:]] == [problem(shape, dtype)[2].dtype] * 2
    for actual, expected in zip(results, wide, strict=True):
        assert_close(actual, expected, dtype)


@RELU
def test_first_and_second_derivatives(relu, device):
    x, groups, weight, bias = problem((2, 5, 6, 2), device=device)
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias)]

    def function(x, weight, bias):
        return group_norm(x, groups, weight, bias, 1e-5, relu)

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


def test_a_second_derivative_of_some_inputs():
    x, groups, weight, bias = problem((2, 5, 6, 2))
    upstream = sample_features(*x.shape, seed=3, dtype=torch.float64)
    x.requires_grad_()
    results = []
    for op in (group_norm, reference.group_norm):
        out = op(x, groups, weight, bias, 1e-5, relu=True)
        (first,) = torch.autograd.grad(out, x, upstream, create_graph=True)
        results.append((first, *torch.autograd.grad(first.square().sum(), x)))
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_statistics_of_half_precision_are_wide(dtype, device):
    x, groups, weight, bias = problem((2, 433, 16, 2), dtype, device)
    expected = reference.group_norm(x.float(), groups, weight, bias, 1e-5)
    # The wide result, rounded once.
    rounding = torch.finfo(dtype).eps / 2 * expected.abs() + 1e-5
    assert ((group_norm(x, groups, weight, bias, 1e-5) - expected).abs() <= rounding).all()


@pytest.mark.parametrize("mean", [1e3, -1e5])
def test_a_mean_far_from_zero_costs_no_digits_of_the_variance(mean, device):
    x = (sample_features(2, 1723, 16) + mean).to(device).requires_grad_()
    ones = torch.ones(16, device=device)
    upstream = sample_features(2, 1723, 16, seed=1).to(device)
    out = group_norm(x, 2, ones, 0 * ones, 1e-5)
    wide = x.detach().double().requires_grad_()
    expected = reference.group_norm(wide, 2, ones.double(), 0 * ones.double(), 1e-5)
    # No closer than the input is known: to half a unit in its last place.
    known = torch.finfo(x.dtype).eps * abs(mean)
    assert (out - expected).abs().max() < 2 * known
    (actual,) = torch.autograd.grad(out, x, upstream)
    (wanted,) = torch.autograd.grad(expected, wide, upstream.double())
    assert (actual - wanted).abs().max() < known


def test_normalised_groups_have_mean_zero_and_variance_one():
    x, groups, _, _ = problem((2, 50, 24, 3))
    out = group_norm(x, groups, torch.ones(24).double(), torch.zeros(24).double(), 0.0)
    grouped = out.view(2, 50, 3, 8).transpose(1, 2).flatten(2)
    assert grouped.mean(2).abs().max() < 1e-12
    assert_close(grouped.var(2, correction=0), torch.ones(2, 3))


def test_one_graph_is_a_batch_of_one():
    x, groups, weight, bias = problem((1, 13, 24, 3))
    out = group_norm(x[0], groups, weight, bias, 1e-5, relu=True)
    assert torch.equal(out, group_norm(x, groups, weight, bias, 1e-5, relu=True)[0])


@RELU
def test_any_memory_layout(relu):
    x, groups, weight, bias = problem((2, 13, 24, 3))
    channels_first = x.transpose(1, 2).contiguous().transpose(1, 2)
    results = []
    for features in (x, channels_first):
        leaf = features.detach().requires_grad_()
        out = group_norm(leaf, groups, weight, bias, 1e-5, relu)
        # The gradient of a sum is one number, expanded.
        results.append((out, *torch.autograd.grad(out.sum() + out[0].square().sum(), leaf)))
    assert results[1][0].is_contiguous()
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected)


def test_items_of_a_batch_do_not_mix():
    x, groups, weight, bias = problem((2, 13, 24, 3))
    alone = group_norm(x[:1], groups, weight, bias, 1e-5)
    assert_close(group_norm(x, groups, weight, bias, 1e-5)[:1], alone)


@RELU
def test_the_backward_pass_in_parts_is_the_whole(relu, monkeypatch):
    whole = gradients(group_norm, (5, 13, 24, 3), torch.float64, relu=relu)
    for size in (1, 2 * 13 * 24):
        monkeypatch.setattr(module, "_PART", size)
        in_parts = gradients(group_norm, (5, 13, 24, 3), torch.float64, relu=relu)
        for actual, expected in zip(in_parts, whole, strict=True):
            assert_close(actual, expected)


def test_gradients_of_an_empty_batch():
    for gradient in gradients(group_norm, (0, 5, 8, 2), torch.float32, relu=True):
        assert (gradient == 0).all()


@RELU
def test_the_backward_pass_keeps_its_input_and_two_numbers_a_group(relu):
    x, groups, weight, bias = problem((2, 13, 24, 3), torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        group_norm(x.requires_grad_(), groups, weight.requires_grad_(), bias, 1e-5, relu)
    known = {tensor.data_ptr() for tensor in (x, weight, bias)}
    more = [tensor.numel() for tensor in kept if tensor.data_ptr() not in known]
    assert sum(more) == 2 * 2 * groups


@RELU
def test_compiles_to_one_graph_of_any_batch(relu, device):
    def results(function, batch):
        x, _, weight, bias = problem((batch, 13, 24, 3), torch.float32, device)
        leaves = [tensor.requires_grad_() for tensor in (x, weight, bias)]
        out = function(x, 3, weight, bias, 1e-5, relu)
        upstream = sample_features(*x.shape, seed=3).to(device)
        return out, *torch.autograd.grad(out, leaves, upstream)

    compiled = torch.compile(group_norm, fullgraph=True, dynamic=True)
    for batch in (2, 5):
        for actual, expected in zip(
            results(compiled, batch), results(group_norm, batch), strict=True
        ):
            assert_close(actual, expected)


def test_exports(device):
    class Norm(torch.nn.Module):
        def forward(self, x, weight, bias):
            return group_norm(x, 3, weight, bias, 1e-5, relu=True)

    x, _, weight, bias = problem((2, 13, 24, 3), torch.float32, device)
    batch = {"x": {0: torch.export.Dim("batch")}, "weight": None, "bias": None}
    program = torch.export.export(Norm(), (x, weight, bias), dynamic_shapes=batch)
    x, _, weight, bias = problem((3, 13, 24, 3), torch.float32, device)
    assert_close(program.module()(x, weight, bias), Norm()(x, weight, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_under_autocast(dtype, device):
    x, groups, weight, bias = problem((2, 433, 64, 8), dtype, device)
    expected = group_norm(x, groups, weight, bias, 1e-5, relu=True)
    with torch.autocast(device.type, torch.bfloat16):
        out = group_norm(x, groups, weight, bias, 1e-5, relu=True)
    assert torch.equal(out, expected)
    assert out.dtype == dtype


@RELU
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_operation_is_registered_as_torch_wants_it(dtype, relu, device):
    x, groups, weight, bias = problem((2, 13, 24, 3), dtype, device)
    _, mean, rstd = OP.group_norm(x, groups, weight, bias, 1e-5, relu)
    backward = torch.ones_like(x), x, weight, bias, mean, rstd, relu
    torch.library.opcheck(OP.group_norm_backward.default, backward)
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    torch.library.opcheck(
        OP.group_norm.default, (leaves[0], groups, *leaves[1:], 1e-5, relu), atol=1e-2, rtol=1e-2
    )


@pytest.mark.parametrize("shape", [(24,), (1, 2, 3, 24)], ids=str)
def test_features_of_a_wrong_shape(shape):
    with pytest.raises(InputError, match=r"^x=\[.*\]: not node features.*Give \[N, C\]"):
        group_norm(torch.zeros(shape), 3, torch.ones(24), torch.zeros(24), 1e-5)


@pytest.mark.parametrize("groups", [5, 0, -3])
def test_groups_that_do_not_divide_the_channels(groups):
    message = rf"^num_groups={groups}: does not divide 24 channels.*Give a divisor"
    with pytest.raises(InputError, match=message):
        group_norm(torch.zeros(2, 24), groups, torch.ones(24), torch.zeros(24), 1e-5)


@pytest.mark.parametrize("batch", [None, torch.zeros(2, dtype=torch.long)], ids=["one", "union"])
def test_features_of_other_channels_than_the_weight(batch):
    union = () if batch is None else (batch, 1)
    norm = group_norm if batch is None else segment_group_norm
    with pytest.raises(InputError, match=r"^x=\[2, 24\]: the weight has 16 channels.*Give as many"):
        norm(torch.zeros(2, 24), *union, 2, torch.ones(16), torch.zeros(16), 1e-5)
