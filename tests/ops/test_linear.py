from importlib import import_module

import pytest
import torch
import torch.nn.functional as F

from bilayer_graph.errors import InputError
from bilayer_graph.ops import linear
from bilayer_graph.testing import assert_close, sample_features

SHAPES = [(2, 13, 24), (433, 24), (24,), (1, 1, 24), (0, 5, 24), (3, 0, 24), (2, 3, 4, 24)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
OUT = 17
module = import_module("bilayer_graph.ops._linear")


def problem(shape, dtype=torch.float32, device="cpu"):
    x = sample_features(*shape, seed=1, dtype=dtype)
    weight = sample_features(OUT, shape[-1], seed=2, dtype=dtype)
    bias = sample_features(OUT, seed=3, dtype=dtype)
    return [tensor.to(device).requires_grad_() for tensor in (x, weight, bias)]


@pytest.fixture(params=["MKL", "oneDNN"], autouse=True)
def library(request, monkeypatch):
    """Small products take the way of large ones too."""
    for name in ("_LARGE", "_LARGE_INTEL"):
        monkeypatch.setattr(module, name, 1 if request.param == "oneDNN" else 2**62)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    """Torch's convolutions take another way with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_the_product_and_its_gradients(shape, dtype, device, threads):
    leaves = problem(shape, dtype, device)
    wide = [tensor.detach().double().requires_grad_() for tensor in leaves]
    out, expected = linear(*leaves), wide[0] @ wide[1].t() + wide[2]
    assert (out.dtype, out.is_contiguous()) == (dtype, True)
    assert_close(out, expected)
    upstream = sample_features(*out.shape, seed=4, dtype=dtype).to(device)
    got = torch.autograd.grad(out, leaves, upstream)
    wanted = torch.autograd.grad(expected, wide, upstream.double())
    for actual, expected in zip(got, wanted, strict=True):
        assert_close(actual, expected, dtype)


def test_at_the_size_of_the_paper(device, threads):
    x, weight, _ = problem((2, 1723, 256), device=device)
    assert_close(linear(x, weight), x.double() @ weight.double().t())


def test_any_memory_layout(threads):
    x, weight, bias = problem((2, 13, 24))
    expected = linear(x, weight, bias)
    x = x.transpose(1, 2).contiguous().transpose(1, 2)
    weight = weight.t().contiguous().t()
    assert_close(linear(x, weight, bias), expected)


def test_without_onednn(monkeypatch):
    leaves = problem((2, 13, 24))
    expected = linear(*leaves)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert_close(linear(*leaves), expected)


def test_another_number_of_channels():
    with pytest.raises(InputError, match=r"^x=\[2, 13, 24\]: the weight takes 23.*\[\.\., 23\]"):
        linear(sample_features(2, 13, 24), sample_features(OUT, 23))


def test_first_and_second_derivatives(device):
    leaves = problem((2, 3, 4), torch.float64, device)
    assert torch.autograd.gradcheck(linear, leaves)
    assert torch.autograd.gradgradcheck(linear, leaves)


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_one_gradient_alone(wanted):
    leaves = problem((2, 13, 24))
    for i, leaf in enumerate(leaves):
        leaf.requires_grad_(i == wanted)
    (actual,) = torch.autograd.grad(linear(*leaves).square().sum(), leaves[wanted])
    (expected,) = torch.autograd.grad(F.linear(*leaves).square().sum(), leaves[wanted])
    assert_close(actual, expected)


def test_under_autocast(device):
    leaves = problem((2, 13, 24), device=device)
    with torch.autocast(device.type, torch.bfloat16):
        out = linear(*leaves)
        assert torch.equal(out, F.linear(*leaves))
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert all(leaf.grad.dtype == torch.float32 for leaf in leaves)


def test_compiles_to_one_graph_of_any_batch(device):
    compiled = torch.compile(linear, fullgraph=True, dynamic=True)
    for batch in (2, 5):
        leaves = problem((batch, 13, 24), device=device)
        out, expected = compiled(*leaves), linear(*leaves)
        assert_close(out, expected)
        got, wanted = (torch.autograd.grad(y.square().sum(), leaves) for y in (out, expected))
        for actual, expected in zip(got, wanted, strict=True):
            assert_close(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
def test_the_operation_is_registered_as_torch_wants_it(dtype):
    leaves = problem((2, 13, 24), dtype)
    op = torch.ops.bilayer_graph.linear.default
    torch.library.opcheck(op, leaves, atol=1e-2, rtol=1e-2)
