import pytest
import torch
from spmm_problems import DTYPES, INDEX_DTYPES, PROBLEMS, problem
from torch.utils._python_dispatch import TorchDispatchMode

from bilayer_graph.errors import InputError
from bilayer_graph.nn import StaticGraph
from bilayer_graph.ops import reference, sparse_matrix, spmm
from bilayer_graph.testing import (
    TOLERANCES,
    assert_close,
    largest_output,
    matrix_to_dense,
    random_graph,
    sample_features,
)


def with_gradients(matrix, x):
    """The product as a function of what it is differentiable in, and these two."""
    value = matrix.value.detach().clone().requires_grad_()
    x = x.detach().clone().requires_grad_()
    return lambda value, x: spmm(matrix._replace(value=value), x), (value, x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_the_dense_product(name, dtype, device, poisoned_memory):
    matrix, dense, _, x = problem(name, dtype, device)
    out = spmm(matrix, x)
    assert out.dtype == dtype
    assert out.device == x.device
    assert out.is_contiguous()
    assert_close(out, dense @ x.cpu().double())


@pytest.mark.parametrize("index", INDEX_DTYPES, ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_the_reference(name, index, device):
    matrix, _, _, x = problem(name, torch.float64, device, index)
    assert_close(spmm(matrix, x), reference.spmm(matrix, x))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("index", INDEX_DTYPES, ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_equal_those_of_dense_products(name, index, dtype, device, poisoned_memory):
    matrix, dense, upstream, x = problem(name, dtype, device, index)
    product, leaves = with_gradients(matrix, x)
    by_value, by_x = torch.autograd.grad(product(*leaves), leaves, upstream)
    upstream, x = upstream.cpu().double(), x.cpu().double()
    by_entry = torch.einsum("bmc,bnc->mn", upstream, x)
    assert_close(by_value, by_entry[matrix.row.cpu().long(), matrix.col.cpu().long()])
    assert_close(by_x, dense.t() @ upstream)


@pytest.mark.parametrize("name", ["square", "wide", "empty rows", "one node", "no edges"])
def test_first_and_second_derivatives(name, device):
    product, leaves = with_gradients(*problem(name, torch.float64, device)[::3])
    assert torch.autograd.gradcheck(product, leaves)
    assert torch.autograd.gradgradcheck(product, leaves)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient_dtypes_follow_the_inputs(dtype, device):
    matrix, _, _, x = problem("square", torch.float32, device)
    matrix = matrix._replace(value=matrix.value.requires_grad_())
    x = x.to(dtype).requires_grad_()
    spmm(matrix, x).sum().backward()
    assert matrix.value.grad.dtype == torch.float32
    assert x.grad.dtype == dtype
    # The values' gradient is summed in float32 from features that were rounded before.
    assert_close(matrix.value.grad, x.detach().double().sum((0, 2))[matrix.col.long()].cpu())
    columns = matrix_to_dense(matrix).sum(0)
    rounded = max(dtype, torch.float32, key=TOLERANCES.get)
    assert_close(x.grad, columns[:, None].expand_as(x), rounded)


def test_under_autocast(device):
    matrix, dense, _, x = problem("large", torch.float32, device)
    linear = torch.nn.Linear(65, 16, device=device)
    with torch.autocast(device.type, torch.bfloat16):
        narrow = linear(x)
        out = spmm(matrix, narrow)
    assert out.dtype == narrow.dtype == torch.bfloat16
    assert_close(out, dense @ narrow.detach().cpu().double())
    out.float().sum().backward()
    upstream = dense.sum(0)[:, None] * x.cpu().double()
    expected = upstream.sum((0, 1)).expand(16, -1)
    assert_close(linear.weight.grad, expected, torch.bfloat16)


def test_one_graph_is_a_batch_of_one(device):
    matrix, _, _, x = problem("wide", device=device)
    assert torch.equal(spmm(matrix, x[0]), spmm(matrix, x[:1])[0])
    assert spmm(matrix, x[0]).shape == (4, 17)


def test_a_batch_is_a_loop(device):
    matrix, _, _, x = problem("large", device=device)
    assert torch.equal(spmm(matrix, x), torch.stack([spmm(matrix, item) for item in x]))


def test_order_and_repetition_of_edges(device):
    size = (9, 8)
    edge_index, weight = random_graph(size, 30, dtype=torch.float64)
    edge_index, weight = edge_index.to(device), weight.to(device)
    x = sample_features(2, 9, 4, dtype=torch.float64).to(device)
    once = spmm(sparse_matrix(edge_index, weight, size)[0], x)
    assert_close(spmm(sparse_matrix(edge_index.flip(1), weight.flip(0), size)[0], x), once)
    twice = sparse_matrix(edge_index.repeat(1, 2), weight.repeat(2), size)[0]
    assert_close(spmm(twice, x), 2 * once)


@pytest.mark.parametrize("layout", ["transposed", "sliced", "expanded"])
def test_any_memory_layout(layout, device):
    matrix, dense, _, x = problem("wide", torch.float64, device)
    x = {
        "transposed": x.transpose(1, 2).contiguous().transpose(1, 2),
        "sliced": torch.cat([x, x], dim=2)[..., ::2],
        "expanded": x[:1].expand(3, -1, -1),
    }[layout].detach()
    assert not x.is_contiguous()
    x.requires_grad_()
    out = spmm(matrix, x)
    assert_close(out, dense @ x.detach().cpu())
    upstream = sample_features(*out.transpose(1, 2).shape, dtype=torch.float64).to(device)
    out.backward(upstream.transpose(1, 2))
    assert_close(x.grad, dense.t() @ upstream.transpose(1, 2).cpu())


def test_values_of_any_memory_layout(device):
    matrix, dense, _, x = problem("wide", torch.float64, device)
    ones = matrix._replace(value=matrix.value.new_ones(1).expand(31))
    assert_close(spmm(ones, x), (dense != 0).double() @ x.cpu())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gives_the_same_bits_again(dtype, device):
    matrix, _, upstream, x = problem("large", dtype, device)
    product, leaves = with_gradients(matrix, x)
    runs = [
        (out, *torch.autograd.grad(out, leaves, upstream))
        for out in (product(*leaves) for _ in range(3))
    ]
    for first, *others in zip(*runs, strict=True):
        assert all(torch.equal(first, other) for other in others)


class Calls(TorchDispatchMode):
    """Names of the operations that ran."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("wanted", "op"), [("value", "sddmm"), ("x", "spmm")])
def test_only_asked_for_gradients_are_computed(wanted, op, device):
    matrix, _, _, x = problem("square", device=device)
    {"value": matrix.value, "x": x}[wanted].requires_grad_()
    out = spmm(matrix, x)
    with Calls() as calls:
        out.sum().backward()
    assert [name for name in calls.names if "bilayer_graph" in name] == [f"bilayer_graph::{op}"]


def test_no_message_tensor_is_built(device):
    matrix, _, upstream, x = problem("large", device=device)
    product, leaves = with_gradients(matrix, x)
    with largest_output() as largest:
        product(*leaves).backward(upstream)
    assert 0 < largest.numel <= max(upstream.numel(), x.numel())


@pytest.mark.parametrize("name", ["square", "empty rows", "no items"])
def test_is_registered_as_it_behaves(name, device):
    matrix, _, _, x = problem(name, device=device)
    matrix.value.requires_grad_()
    torch.library.opcheck(torch.ops.bilayer_graph.spmm.default, (*matrix, x.requires_grad_()))


def test_compiled_as_one_graph_for_any_batch(device):
    matrix, _, _, _ = problem("wide", device=device)
    compiled = torch.compile(spmm, fullgraph=True, dynamic=True)
    for batch in (3, 5):
        product, leaves = with_gradients(matrix, sample_features(batch, 13, 6).to(device))
        upstream = sample_features(batch, 4, 6, seed=7).to(device)
        out = compiled(matrix._replace(value=leaves[0]), leaves[1])
        got = torch.autograd.grad(out, leaves, upstream)
        want = torch.autograd.grad(product(*leaves), leaves, upstream)
        for actual, expected in zip((out, *got), (product(*leaves), *want), strict=True):
            assert torch.equal(actual, expected)


class Upsample(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up = StaticGraph(*random_graph((13, 9), 40), (13, 9))

    def forward(self, x):
        return spmm(self.up(), x)


@pytest.mark.parametrize("strict", [True, False])
def test_exported_for_any_batch(strict, device, tmp_path):
    model, x = Upsample().to(device), sample_features(3, 13, 5).to(device)
    batch = {"x": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(model, (x,), dynamic_shapes=batch, strict=strict)
    torch.export.save(exported, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.equal(loaded(x[:2]), model(x[:2]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_captured_in_a_cuda_graph():
    matrix, _, upstream, x = problem("large", device="cuda")
    product, leaves = with_gradients(matrix, x)
    torch.autograd.grad(product(*leaves), leaves, upstream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = torch.autograd.grad(product(*leaves), leaves, upstream)
    with torch.no_grad():
        leaves[1].mul_(2)
    graph.replay()
    expected = torch.autograd.grad(product(*leaves), leaves, upstream)
    for actual, again in zip(captured, expected, strict=True):
        assert torch.equal(actual, again)


@pytest.mark.parametrize("shape", [(2, 8, 5), (7,), (1, 2, 7, 5)], ids=str)
def test_features_of_another_graph(shape):
    with pytest.raises(InputError, match=r"^x=.*the matrix has 7 columns.*Give features of shape"):
        spmm(problem("square")[0], torch.zeros(shape))


def test_features_of_integers():
    with pytest.raises(InputError, match=r"^x=torch.int64: not a floating-point.*Convert it"):
        spmm(problem("square")[0], torch.zeros(2, 7, 5, dtype=torch.long))


def test_features_on_another_device():
    with pytest.raises(InputError, match=r"^x=meta: the matrix is on cpu.*Move one"):
        spmm(problem("square")[0], torch.zeros(2, 7, 5, device="meta"))
