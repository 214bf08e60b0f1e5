"""Operations under torch.func and forward mode, changed in place, without channels."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad

from bilayer_graph import ops
from bilayer_graph.testing import assert_close, random_graph, sample_features

DTYPE = torch.float64
SIZE = (6, 5)
MATRIX, _ = ops.sparse_matrix(*random_graph(SIZE, 12, dtype=DTYPE), SIZE)
ROWPTR = torch.tensor([0, 3, 3, 8])
BATCH = torch.tensor([0, 0, 1, 1, 1, 3])


@cache
def draw(*shape, seed=0):
    return sample_features(*shape, seed=seed, dtype=DTYPE)


def norm(x, relu):
    return ops.group_norm(x, 2, draw(8, seed=4), draw(8, seed=5), 1e-5, relu)


def values(value):
    return ops.spmm(MATRIX._replace(value=value), draw(2, 6, 8))


# Each function with the shape of what it takes.
FUNCTIONS = {
    "spmm": (lambda x: ops.spmm(MATRIX, x), (2, 6, 8)),
    "spmm of one graph": (lambda x: ops.spmm(MATRIX, x), (6, 8)),
    "spmm of values": (values, (12,)),
    "sddmm": (lambda x: ops.sddmm(MATRIX, draw(2, 5, 8), x), (2, 6, 8)),
    "fusion_product": (lambda x: ops.fusion_product(draw(5, 6), x), (2, 6, 8)),
    "fusion_product of one graph": (lambda x: ops.fusion_product(draw(5, 6), x), (6, 8)),
    "fusion_product of an adjacency": (lambda a: ops.fusion_product(a, draw(2, 6, 8)), (5, 6)),
    "group_norm": (lambda x: norm(x, relu=False), (2, 6, 8)),
    "group_norm with ReLU": (lambda x: norm(x, relu=True), (2, 6, 8)),
    "group_norm of one graph": (lambda x: norm(x, relu=True), (6, 8)),
    "segment_group_norm": (
        lambda x: ops.segment_group_norm(x, BATCH, 4, 2, draw(8), draw(8), 1e-5, True),
        (6, 8),
    ),
    "linear": (lambda x: ops.linear(x, draw(3, 8), draw(3)), (2, 6, 8)),
    "linear of a vector": (lambda x: ops.linear(x, draw(3, 8)), (8,)),
    "linear of a weight": (lambda w: ops.linear(draw(2, 6, 8), w), (3, 8)),
    "row_norm": (lambda w: ops.row_norm(w, ROWPTR), (8,)),
    "row_softmax": (lambda w: ops.row_softmax(w, ROWPTR), (8,)),
}
EACH = pytest.mark.parametrize("name", FUNCTIONS)


def problem(name):
    function, shape = FUNCTIONS[name]
    function(draw(*shape, seed=7))  # draws the rest, which vmap does not allow
    return lambda x: (function(x) ** 3).sum(), draw(*shape, seed=7)


def gradient(function, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x), x)[0]


@EACH
def test_gradients_by_torch_func(name):
    function, x = problem(name)
    assert_close(torch.func.grad(function)(x), gradient(function, x))
    assert_close(torch.func.jacrev(function)(x), gradient(function, x))


@EACH
def test_forward_mode(name):
    function, x = problem(name)
    direction = draw(*x.shape, seed=8)
    wanted = (gradient(function, x) * direction).sum()
    assert_close(torch.func.jvp(function, (x,), (direction,))[1], wanted)
    with forward_ad.dual_level():
        out = function(forward_ad.make_dual(x, direction))
        assert_close(forward_ad.unpack_dual(out).tangent, wanted)


@EACH
def test_a_gradient_each_sample(name):
    function, x = problem(name)
    many = torch.stack([x, 2 * x, -x])
    got = torch.func.vmap(torch.func.grad(function))(many)
    assert_close(got, torch.stack([gradient(function, each) for each in many]))


@EACH
def test_second_derivatives_by_torch_func(name):
    function, x = problem(name)
    x = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(function(x), x, create_graph=True)
    (wanted,) = torch.autograd.grad(first.square().sum(), x)
    twice = torch.func.grad(lambda x: torch.func.grad(function)(x).square().sum())
    assert_close(twice(x.detach()), wanted)


@EACH
def test_linearized(name):
    function, x = problem(name)
    direction = draw(*x.shape, seed=8)
    _, linear = torch.func.linearize(function, x)
    assert_close(linear(direction), (gradient(function, x) * direction).sum())


@EACH
def test_many_upstream_gradients_at_once(name):
    function, shape = FUNCTIONS[name]
    x = draw(*shape, seed=7).clone().requires_grad_()
    out = function(x)
    upstream = draw(3, *out.shape, seed=8)
    (got,) = torch.autograd.grad(out, x, upstream, is_grads_batched=True, retain_graph=True)
    loop = [torch.autograd.grad(out, x, each, retain_graph=True)[0] for each in upstream]
    assert_close(got, torch.stack(loop))


@EACH
def test_a_result_may_be_changed_in_place(name):
    function, shape = FUNCTIONS[name]
    x = draw(*shape, seed=7).clone().requires_grad_()
    wanted = torch.autograd.grad((3 * function(x) + 1).relu().sum(), x)[0]
    out = function(x)
    F.relu(out.mul_(3).add_(1), inplace=True).sum().backward()
    assert_close(x.grad, wanted)


@pytest.mark.parametrize(("inside", "outside"), [(3, 0), (0, 3), (0, 0)])
@pytest.mark.parametrize("shape", [(2, 4), (5,), ()], ids=str)
def test_a_linear_layer_of_no_channels(inside, outside, shape):
    leaves = [torch.randn(*shape, inside), torch.randn(outside, inside), torch.randn(outside)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    out, wanted = ops.linear(*leaves), F.linear(*leaves)
    assert torch.equal(out, wanted)
    got = torch.autograd.grad(out.sum(), leaves, allow_unused=True)
    for gradient, leaf in zip(got, leaves, strict=True):
        assert gradient.shape == leaf.shape


def test_products_of_no_channels():
    x = torch.randn(2, 6, 0, requires_grad=True)
    matrix = MATRIX._replace(value=MATRIX.value.float().requires_grad_())
    adjacency = torch.randn(5, 6, requires_grad=True)
    for out in (ops.spmm(matrix, x), ops.fusion_product(adjacency, x)):
        assert out.shape == (2, 5, 0)
        out.sum().backward()
    assert not matrix.value.grad.any()
    assert not adjacency.grad.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sums_over_a_large_batch_are_kept_in_float32(dtype, device):
    """8 an item: in half precision such a sum stops to grow at a few thousand."""
    batch, channels = 3000, 8
    left, right = torch.ones(batch, 5, channels), torch.ones(batch, 6, channels)
    left, right = (x.to(device, dtype).requires_grad_() for x in (left, right))
    matrix = MATRIX._make(t.to(device) for t in MATRIX)._replace(value=torch.ones(12).to(device))
    assert (ops.sddmm(matrix, left, right) == batch * channels).all()
    value = matrix.value.requires_grad_()
    ops.spmm(matrix, right).backward(left.detach())
    assert (value.grad == batch * channels).all()
    adjacency = torch.ones(5, 6, device=device, requires_grad=True)
    ops.fusion_product(adjacency, right).backward(left.detach())
    assert (adjacency.grad == batch * channels).all()
