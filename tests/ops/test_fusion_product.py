from importlib import import_module

import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.ops import fusion_product, reference
from bilayer_graph.testing import assert_close, largest_output, sample_features

# Both directions, odd numbers, one node, nodes on one side only, and two large graphs.
SIZES = [(12, 107), (107, 12), (3, 5), (1, 1), (1, 9), (9, 1), (33, 129), (129, 33), (4, 0), (0, 4)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
OP = torch.ops.bilayer_graph
cpu = import_module("bilayer_graph.ops._fusion_product")


def problem(size, batch=3, channels=7, dtype=torch.float64, device="cpu"):
    adjacency = sample_features(*size, seed=1, dtype=dtype).to(device)
    return adjacency, sample_features(batch, size[1], channels, seed=2, dtype=dtype).to(device)


def leaves(*tensors):
    return tuple(tensor.detach().clone().requires_grad_() for tensor in tensors)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_the_reference(size, dtype, device):
    adjacency, x = problem(size, dtype=dtype, device=device)
    out = fusion_product(adjacency, x)
    assert out.dtype == dtype
    assert out.is_contiguous()
    assert_close(out, reference.fusion_product(adjacency.double(), x.double()))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_equal_those_of_the_reference(size, dtype, device):
    inputs = leaves(*problem(size, dtype=dtype, device=device))
    exact = leaves(*(tensor.double() for tensor in inputs))
    upstream = sample_features(3, size[0], 7, seed=3, dtype=dtype).to(device)
    got = torch.autograd.grad(fusion_product(*inputs), inputs, upstream)
    wanted = torch.autograd.grad(reference.fusion_product(*exact), exact, upstream.double())
    for actual, expected in zip(got, wanted, strict=True):
        assert actual.dtype == dtype
        assert_close(actual, expected)


@pytest.mark.parametrize("size", [(12, 1723), (1723, 12)], ids=str)
def test_at_the_size_of_the_paper(size, device):
    inputs = leaves(*problem(size, 5, 64, torch.float32, device))
    exact = leaves(*(tensor.double() for tensor in inputs))
    out, wanted = fusion_product(*inputs), torch.matmul(*exact)
    assert_close(out, wanted)
    upstream = sample_features(*out.shape, seed=3).to(device)
    gradients = torch.autograd.grad(out, inputs, upstream)
    for actual, expected in zip(
        gradients, torch.autograd.grad(wanted, exact, upstream.double()), strict=True
    ):
        assert_close(actual, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_wider_adjacency(dtype, device):
    # As under autocast: weights in float32, features in less.
    adjacency, x = problem((12, 107), dtype=dtype, device=device)
    adjacency, x = leaves(adjacency.float(), x)
    out = fusion_product(adjacency, x)
    out.sum().backward()
    assert (out.dtype, adjacency.grad.dtype, x.grad.dtype) == (dtype, torch.float32, dtype)
    assert_close(out, reference.fusion_product(adjacency.double(), x.double()))
    assert_close(adjacency.grad, x.double().sum((0, 2)).expand(12, -1), dtype)


@pytest.mark.parametrize("size", [(2, 5), (5, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_gradient_of_a_wider_adjacency_is_summed_wide(size, dtype, device):
    """In bfloat16 a sum of ones ends at 256, in float16 at 2048."""
    items = 3000
    adjacency, x = leaves(torch.ones(size).to(device), torch.ones(items, size[1], 1).to(device))
    fusion_product(adjacency, x.to(dtype)).sum().backward()
    assert torch.equal(adjacency.grad, torch.full_like(adjacency, items))


@pytest.mark.parametrize("size", [(4, 9), (9, 4), (1, 1)], ids=str)
def test_derivatives_of_first_and_second_order(size, device):
    inputs = leaves(*problem(size, batch=2, channels=3, device=device))
    assert torch.autograd.gradcheck(fusion_product, inputs)
    assert torch.autograd.gradgradcheck(fusion_product, inputs)


@pytest.mark.parametrize("which", [0, 1])
def test_a_gradient_of_one_input_only(which, device):
    adjacency, x = problem((4, 9), device=device)
    (adjacency, x)[which].requires_grad_()
    out = fusion_product(adjacency, x)
    upstream = sample_features(*out.shape, seed=3, dtype=torch.float64).to(device)
    out.backward(upstream)
    wanted = (upstream @ x.mT).sum(0) if which == 0 else adjacency.t() @ upstream
    assert_close((adjacency, x)[which].grad, wanted)
    assert (adjacency, x)[1 - which].grad is None


@pytest.mark.parametrize("size", [(12, 107), (107, 12), (40, 50)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(size, dtype, device):
    adjacency, x = leaves(*problem(size, dtype=dtype, device=device))
    grad = sample_features(3, size[0], 7, seed=3, dtype=dtype).to(device).requires_grad_()
    torch.library.opcheck(OP.fusion_product.default, (adjacency, x))
    torch.library.opcheck(OP.fusion_product_backward.default, (adjacency, x, grad))


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("size", [(12, 107), (107, 12)], ids=str)
def test_any_number_of_items_at_a_time(threads, size, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    inputs = leaves(*problem(size))
    upstream = sample_features(3, size[0], 7, seed=3, dtype=torch.float64)
    got = torch.autograd.grad(fusion_product(*inputs), inputs, upstream)
    wanted = torch.autograd.grad(reference.fusion_product(*inputs), inputs, upstream)
    for actual, expected in zip(got, wanted, strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("size", [(12, 107), (107, 12)], ids=str)
def test_a_batch_is_a_loop(size, device):
    adjacency, x = problem(size, batch=5, device=device)
    loop = torch.stack([fusion_product(adjacency, item) for item in x])
    assert_close(fusion_product(adjacency, x), loop)


@pytest.mark.parametrize("size", [(12, 107), (107, 12)], ids=str)
@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("channels", [0, 1])
def test_small_batches(size, batch, channels, device):
    inputs = leaves(*problem(size, batch, channels, device=device))
    out = fusion_product(*inputs)
    out.sum().backward()
    assert_close(out, torch.matmul(*inputs))
    assert_close(inputs[0].grad, inputs[1].sum((0, 2)).expand(size))
    assert_close(inputs[1].grad, inputs[0].sum(0)[:, None].expand_as(inputs[1]))


@pytest.mark.parametrize("size", [(12, 107), (107, 12)], ids=str)
def test_any_memory_layout(size, device):
    adjacency, x = problem(size, batch=4, dtype=torch.float32, device=device)
    wanted = fusion_product(adjacency, x)
    turned = adjacency.t().contiguous().t(), x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not turned[0].is_contiguous()
    assert not turned[1].is_contiguous()
    assert_close(fusion_product(*turned), wanted)
    inputs, plain = leaves(*turned), leaves(adjacency, x)
    # sum() sends a gradient back that is one number, expanded.
    got = torch.autograd.grad(fusion_product(*inputs).sum(), inputs)
    expected = torch.autograd.grad(torch.matmul(*plain).sum(), plain)
    for actual, want in zip(got, expected, strict=True):
        assert_close(actual, want)


@pytest.mark.parametrize("size", [(12, 431), (431, 12)], ids=str)
def test_the_same_input_gives_the_same_bits(size, device):
    inputs = leaves(*problem(size, 8, 32, torch.float32, device))
    upstream = sample_features(8, size[0], 32, seed=3).to(device)

    def run():
        out = fusion_product(*inputs)
        return [out, *torch.autograd.grad(out, inputs, upstream)]

    first = run()
    for again in (run(), run()):
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("size", [(12, 431), (431, 12)], ids=str)
def test_the_cpu_builds_nothing_larger_than_the_features(size):
    # Called by themselves: from outside, an operation shows its results only.
    adjacency, x = problem(size, 4, 32, torch.float32)
    with largest_output() as largest:
        out = cpu._product(adjacency, x)
    assert largest.numel == max(out.numel(), adjacency.numel())
    with largest_output() as largest:
        cpu._product_backward(adjacency, x, out)
    assert largest.numel == 4 * 431 * 32


@pytest.mark.parametrize("size", [(12, 107), (107, 12)], ids=str)
def test_compiled(size, device):
    @torch.compile(fullgraph=True, backend="aot_eager", dynamic=True)
    def step(adjacency, x):
        return fusion_product(adjacency, x.relu()).relu()

    for batch in (2, 5):
        inputs = leaves(*problem(size, batch, device=device))
        plain = leaves(*inputs)
        out, wanted = step(*inputs), torch.matmul(plain[0], plain[1].relu()).relu()
        assert_close(out, wanted)
        got = torch.autograd.grad(out.sum(), inputs)
        for actual, expected in zip(got, torch.autograd.grad(wanted.sum(), plain), strict=True):
            assert_close(actual, expected)


class Product(torch.nn.Module):
    def forward(self, adjacency, x):
        return fusion_product(adjacency, x)


def test_exported():
    adjacency, x = problem((12, 107))
    shapes = {"adjacency": None, "x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(Product(), (adjacency, x), dynamic_shapes=shapes)
    _, other = problem((12, 107), batch=6)
    assert_close(program.module()(adjacency, other), torch.matmul(adjacency, other))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("size", [(12, 107), (107, 12)], ids=str)
def test_captured_in_a_cuda_graph(size):
    adjacency, x = problem(size, dtype=torch.float32, device="cuda")
    wanted = fusion_product(adjacency, x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = fusion_product(adjacency, x)
    graph.replay()
    assert torch.equal(out, wanted)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 9), (8, 3)), r"^x=\[8, 3\]: the adjacency has 9 columns. Give .* \[9, C\] or"),
        (((4, 9), (2, 8, 3)), r"^x=\[2, 8, 3\]: the adjacency has 9 columns"),
        (((4, 9), (9,)), r"^x=\[9\]: the adjacency has 9 columns"),
        (((2, 4, 9), (2, 9, 3)), r"^adjacency=\[2, 4, 9\]: not a matrix. Give one of shape"),
    ],
    ids=["nodes", "batched nodes", "vector", "batched adjacency"],
)
def test_bad_input(shapes, message):
    with pytest.raises(InputError, match=message):
        fusion_product(*(torch.zeros(shape) for shape in shapes))
