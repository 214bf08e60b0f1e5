"""The CUDA kernels of the fusion product and of RowNorm: on a GPU, or interpreted on a CPU."""

from importlib import import_module

import pytest
import torch

from bilayer_graph.ops import reference
from bilayer_graph.testing import assert_close, sample_features

fusion = pytest.importorskip("bilayer_graph.ops._triton.fusion_product")
rows = pytest.importorskip("bilayer_graph.ops._triton.row_norm")
op = import_module("bilayer_graph.ops._fusion_product")

pytestmark = pytest.mark.usefixtures("poisoned_memory", "kernel_device")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# One node, odd numbers, the smallest and largest small graph, several programs a large one.
SIZES = [(1, 1), (3, 5), (12, 107), (32, 33), (17, 300), (1, 70)]
SIZES = [*SIZES, *(size[::-1] for size in SIZES[1:])]
SIZE = pytest.mark.parametrize("size", SIZES, ids=str)
BF16 = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter has no bfloat16 products"),
)
PRODUCTS = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, BF16], ids=str)
DTYPES = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str
)


def problem(size, batch, channels, dtype):
    shapes = (size, (batch, size[1], channels), (batch, size[0], channels))
    return [
        sample_features(*shape, seed=seed, dtype=dtype).to(DEVICE)
        for seed, shape in enumerate(shapes)
    ]


def check_product(adjacency, x, grad):
    dtype = x.dtype
    out = fusion.fusion_product(adjacency, x)
    assert out.dtype == dtype
    assert_close(out, reference.fusion_product(adjacency.double(), x.double()))
    grad_adjacency, grad_x = fusion.fusion_product_backward(adjacency, x, grad)
    assert (grad_adjacency.dtype, grad_x.dtype) == (adjacency.dtype, dtype)
    wanted = torch.einsum("bmc,bnc->mn", grad.double(), x.double())
    assert_close(grad_adjacency, wanted, dtype)
    assert_close(grad_x, adjacency.double().t() @ grad.double())
    assert all(tensor.is_contiguous() for tensor in (out, grad_adjacency, grad_x))


@SIZE
@PRODUCTS
def test_products(size, dtype):
    check_product(*problem(size, 3, 37, dtype))


@pytest.mark.parametrize("size", [(12, 107), (107, 12)], ids=str)
@pytest.mark.parametrize("channels", [1, 16, 130, 256])
def test_products_of_any_number_of_channels(size, channels):
    check_product(*problem(size, 1, channels, torch.float32))


@pytest.mark.parametrize("size", [(12, 107), (107, 12)], ids=str)
@pytest.mark.parametrize("programs", [1, 4])
def test_products_where_a_program_takes_several_items(size, programs, monkeypatch):
    monkeypatch.setattr(fusion.tiles, "PROGRAMS", programs)
    check_product(*problem(size, 5, 17, torch.float32))


@pytest.mark.parametrize("size", [(12, 107), (107, 12)], ids=str)
def test_products_of_mixed_dtypes_and_layouts(size):
    adjacency, x, grad = problem(size, 2, 24, torch.float16)
    turned = [tensor.permute(2, 0, 1).contiguous().permute(1, 2, 0) for tensor in (x, grad)]
    check_product(adjacency.float().t().contiguous().t(), *turned)
    check_product(adjacency, x, grad[:, :1, :1].expand_as(grad))


# With a kernel, without for the size of the smaller graph, and for want of numbers.
@pytest.mark.parametrize("size", [(12, 70), (33, 34), (4, 0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_what_the_operation_does_on_a_gpu(size, dtype, monkeypatch):
    launched = []
    for name in ("fusion_product", "fusion_product_backward"):
        launch = getattr(fusion, name)
        monkeypatch.setattr(
            fusion, name, lambda *args, launch=launch: launched.append(launch) or launch(*args)
        )
    adjacency, x, grad = problem(size, 2, 9, dtype)
    assert_close(op._cuda(adjacency, x), adjacency.double() @ x.double())
    grad_adjacency, grad_x = op._cuda_backward(adjacency, x, grad)
    assert_close(grad_adjacency, torch.einsum("bmc,bnc->mn", grad.double(), x.double()))
    assert_close(grad_x, adjacency.double().t() @ grad.double())
    assert all(tensor.is_contiguous() for tensor in (grad_adjacency, grad_x))
    assert len(launched) == (2 if size == (12, 70) and dtype == torch.float32 else 0)


@pytest.mark.parametrize("lengths", [[3, 0, 5, 1, 0, 7], [1], [0, 1300, 2], [0], []], ids=str)
@pytest.mark.parametrize("index", [torch.int32, torch.int64], ids=str)
@DTYPES
def test_rows(lengths, index, dtype):
    rowptr = torch.tensor([0, *lengths]).cumsum(0).to(DEVICE, index)
    weight = sample_features(sum(lengths), seed=3, dtype=dtype).to(DEVICE)
    grad = sample_features(sum(lengths), seed=4, dtype=dtype).to(DEVICE)
    exact = weight.double().requires_grad_()
    if weight.numel() == 0:
        assert rows.row_norm(weight, rowptr).shape == weight.shape
        assert rows.row_softmax(weight, rowptr).shape == weight.shape
        return
    wanted = reference.row_norm(exact, rowptr)
    assert_close(rows.row_norm(weight, rowptr), wanted)
    (expected,) = torch.autograd.grad(wanted, exact, grad.double())
    assert_close(1 + rows.row_norm_backward(weight, rowptr, grad), 1 + expected)
    wanted = reference.row_softmax(exact, rowptr)
    out = rows.row_softmax(weight, rowptr)
    assert_close(out, wanted)
    (expected,) = torch.autograd.grad(wanted, exact, grad.double())
    assert_close(1 + rows.row_softmax_backward(out, rowptr, grad), 1 + expected)


def test_rows_of_strided_weights():
    rowptr = torch.tensor([0, 3, 3, 8], device=DEVICE)
    weight = sample_features(8, 2).to(DEVICE)[:, 0]
    grad = torch.ones(1, device=DEVICE).expand(8)
    exact = weight.double().requires_grad_()
    wanted = reference.row_norm(exact, rowptr)
    (expected,) = torch.autograd.grad(wanted.sum(), exact)
    assert_close(rows.row_norm(weight, rowptr), wanted)
    assert_close(rows.row_norm_backward(weight, rowptr, grad), expected)


@pytest.mark.parametrize("size", [(12, 431), (431, 12)], ids=str)
def test_the_same_input_gives_the_same_bits(size):
    inputs = problem(size, 4, 32, torch.float32)

    def run():
        backward = fusion.fusion_product_backward(*inputs)
        return [fusion.fusion_product(*inputs[:2]), *backward]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))
