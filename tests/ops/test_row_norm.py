import pytest
import torch

from bilayer_graph.ops import reference, row_norm, row_softmax
from bilayer_graph.testing import assert_close, random_graph, sample_features

NUM_ROWS = 8
OPS = pytest.mark.parametrize(
    ("op", "naive"),
    [(row_norm, reference.row_norm), (row_softmax, reference.row_softmax)],
    ids=["row_norm", "row_softmax"],
)


def problem(num_edges=21, dtype=torch.float64):
    """Edges of both signs in random order; with few edges some rows are empty."""
    edge_index, weight = random_graph((5, NUM_ROWS), num_edges, seed=3, dtype=dtype)
    return weight, edge_index[1]


@OPS
@pytest.mark.parametrize("num_edges", [21, 4, 1, 0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_equals_the_reference(op, naive, num_edges, dtype, device):
    weight, row = problem(num_edges, dtype)
    out = op(weight.to(device), row.to(device), NUM_ROWS)
    assert out.dtype == dtype
    assert_close(out, naive(weight.double(), row, NUM_ROWS))


@OPS
@pytest.mark.parametrize("num_edges", [21, 4])
def test_gradients_equal_those_of_the_reference(op, naive, num_edges):
    weight, row = problem(num_edges)
    weight.requires_grad_()
    upstream = sample_features(num_edges, seed=5, dtype=torch.float64)
    (actual,) = torch.autograd.grad(op(weight, row, NUM_ROWS), weight, upstream)
    (expected,) = torch.autograd.grad(naive(weight, row, NUM_ROWS), weight, upstream)
    assert_close(actual, expected)
    assert torch.autograd.gradcheck(lambda w: op(w, row, NUM_ROWS), weight)


def test_absolute_values_of_a_row_sum_to_one():
    weight, row = problem()
    sums = torch.zeros(NUM_ROWS, dtype=torch.float64)
    sums.index_add_(0, row, row_norm(weight, row, NUM_ROWS).abs())
    assert_close(sums, torch.ones(NUM_ROWS), torch.float32)


def test_a_signed_sum_of_zero_is_harmless():
    weight = torch.tensor([2.0, -2.0, 0.0], requires_grad=True)
    row = torch.zeros(3, dtype=torch.long)
    out = row_norm(weight, row, 1)
    assert_close(out, torch.tensor([0.5, -0.5, 0.0]))
    out[0].backward()
    # a = w / (|w| + |v|), so that da/dw = |v| / (|w| + |v|)^2 and da/dv = -w sign(v) / (..)^2
    assert_close(weight.grad, torch.tensor([0.125, 0.125, 0.0]))


def test_a_row_of_zeros_stays_zero():
    weight = torch.zeros(4, requires_grad=True)
    out = row_norm(weight, torch.tensor([0, 0, 1, 1]), 2)
    out.sum().backward()
    assert torch.equal(out, torch.zeros(4))
    assert weight.grad.isfinite().all()


def test_scale_of_a_row_cancels():
    weight, row = problem()
    assert_close(
        row_norm(1000 * weight, row, NUM_ROWS), row_norm(weight, row, NUM_ROWS), torch.float32
    )


def test_softmax_rows_sum_to_one_for_any_offset():
    weight, row = problem(dtype=torch.float32)
    out = row_softmax(weight + 500, row, NUM_ROWS)
    sums = torch.zeros(NUM_ROWS).index_add(0, row, out)
    assert_close(sums, torch.ones(NUM_ROWS))
    assert (out > 0).all()
