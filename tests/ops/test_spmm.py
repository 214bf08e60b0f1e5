import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.ops import reference, sparse_matrix, spmm
from bilayer_graph.testing import (
    TOLERANCES,
    assert_close,
    matrix_to_dense,
    random_graph,
    sample_features,
    to_dense,
)

# (source nodes, target nodes), edges, batch, channels
PROBLEMS = {
    "square": ((7, 7), 23, 3, 5),
    "wide": ((13, 4), 31, 2, 17),
    "tall": ((3, 19), 20, 5, 1),
    "empty rows": ((11, 11), 4, 2, 6),
    "one node": ((1, 1), 1, 4, 3),
    "no edges": ((5, 6), 0, 2, 3),
    "no items": ((5, 6), 9, 0, 3),
    "no channels": ((5, 6), 9, 2, 0),
    "complete": ((6, 5), 30, 1, 33),
    "large": ((431, 433), 3001, 2, 65),
}
DTYPES = [torch.float32, torch.float64, torch.bfloat16]


def problem(name, dtype=torch.float32, device="cpu"):
    size, num_edges, batch, channels = PROBLEMS[name]
    edge_index, weight = random_graph(size, num_edges, seed=1, dtype=dtype)
    x = sample_features(batch, size[0], channels, seed=2, dtype=dtype)
    dense = to_dense(edge_index, weight, size)
    return sparse_matrix(edge_index.to(device), weight.to(device), size)[0], dense, x.to(device)


def gradients(function, *inputs):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    out = function(*leaves)
    upstream = sample_features(*out.shape, seed=9, dtype=out.dtype).to(out.device)
    return torch.autograd.grad(out, leaves, upstream)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_the_dense_product(name, dtype, device):
    matrix, dense, x = problem(name, dtype, device)
    out = spmm(matrix, x)
    assert out.dtype == dtype
    assert out.device == x.device
    assert_close(out, dense @ x.cpu().double())


@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_the_reference(name, device):
    matrix, _, x = problem(name, torch.float64, device)
    assert_close(spmm(matrix, x), reference.spmm(matrix, x))


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_equal_those_of_the_reference(name, device):
    matrix, _, x = problem(name, torch.float64, device)
    got = gradients(lambda v, x: spmm(matrix._replace(value=v), x), matrix.value, x)
    want = gradients(lambda v, x: reference.spmm(matrix._replace(value=v), x), matrix.value, x)
    for actual, expected in zip(got, want, strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("name", ["square", "empty rows"])
def test_gradcheck(name):
    matrix, _, x = problem(name, torch.float64)
    value = matrix.value.clone().requires_grad_()
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda v, x: spmm(matrix._replace(value=v), x), (value, x))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient_dtypes_follow_the_inputs(dtype, device):
    matrix, _, x = problem("square", torch.float32, device)
    matrix = matrix._replace(value=matrix.value.requires_grad_())
    x = x.to(dtype).requires_grad_()
    spmm(matrix, x).sum().backward()
    assert matrix.value.grad.dtype == torch.float32
    assert x.grad.dtype == dtype
    columns = matrix_to_dense(matrix).sum(0)
    assert_close(
        x.grad, columns[:, None].expand_as(x), max(dtype, torch.float32, key=TOLERANCES.get)
    )


def test_one_graph_is_a_batch_of_one():
    matrix, _, x = problem("wide")
    torch.testing.assert_close(spmm(matrix, x[0]), spmm(matrix, x[:1])[0], rtol=0, atol=0)
    assert spmm(matrix, x[0]).shape == (4, 17)


def test_a_batch_is_a_loop():
    matrix, _, x = problem("large")
    loop = torch.stack([spmm(matrix, item) for item in x])
    torch.testing.assert_close(spmm(matrix, x), loop, rtol=0, atol=0)


def test_order_and_repetition_of_edges():
    (edge_index, weight), size = random_graph((9, 8), 30, dtype=torch.float64), (9, 8)
    x = sample_features(2, 9, 4, dtype=torch.float64)
    once = spmm(sparse_matrix(edge_index, weight, size)[0], x)
    assert_close(spmm(sparse_matrix(edge_index.flip(1), weight.flip(0), size)[0], x), once)
    twice = sparse_matrix(edge_index.repeat(1, 2), weight.repeat(2), size)[0]
    assert_close(spmm(twice, x), 2 * once)


@pytest.mark.parametrize("layout", ["transposed", "sliced", "expanded"])
def test_any_memory_layout(layout, device):
    matrix, dense, x = problem("wide", torch.float64, device)
    x = {
        "transposed": x.transpose(1, 2).contiguous().transpose(1, 2),
        "sliced": torch.cat([x, x], dim=2)[..., ::2],
        "expanded": x[:1].expand(3, -1, -1),
    }[layout].detach()
    assert not x.is_contiguous()
    x.requires_grad_()
    out = spmm(matrix, x)
    assert_close(out, dense @ x.cpu().double())
    upstream = sample_features(*out.transpose(1, 2).shape, dtype=torch.float64).to(device)
    out.backward(upstream.transpose(1, 2))
    assert_close(x.grad, dense.t() @ upstream.transpose(1, 2).cpu())


def test_is_deterministic(device):
    matrix, _, x = problem("large", device=device)
    matrix = matrix._replace(value=matrix.value.requires_grad_())
    x.requires_grad_()
    runs = [torch.autograd.grad(spmm(matrix, x).square().sum(), (matrix.value, x)) for _ in "ab"]
    for first, second in zip(*runs, strict=True):
        assert torch.equal(first, second)


def test_only_asked_for_gradients_are_computed():
    matrix, _, x = problem("square")
    out = spmm(matrix, x.requires_grad_())
    out.sum().backward()
    assert matrix.value.grad is None


@pytest.mark.parametrize("shape", [(2, 8, 5), (7,), (1, 2, 7, 5)], ids=str)
def test_features_of_another_graph(shape):
    matrix, _, _ = problem("square")
    with pytest.raises(InputError, match=r"^x=.*the matrix has 7 columns.*Give features of shape"):
        spmm(matrix, torch.zeros(shape))
