import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.ops import reference, row_norm, row_softmax
from bilayer_graph.testing import assert_close, sample_features

OPS = pytest.mark.parametrize(
    ("op", "naive"),
    [(row_norm, reference.row_norm), (row_softmax, reference.row_softmax)],
    ids=["row_norm", "row_softmax"],
)
# Entries of each row: some without, equal ones, one row, a long one beside short ones, no edges.
ROWS = [[3, 0, 5, 1, 0, 7], [4, 4, 4], [1], [0, 1300, 2], [0, 0]]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
LIBRARY = torch.ops.bilayer_graph


def problem(rows, dtype=torch.float64, index=torch.int32, device="cpu"):
    """Weights of both signs, row by row."""
    rowptr = torch.tensor([0, *rows]).cumsum(0).to(device, index)
    return sample_features(sum(rows), seed=3, dtype=dtype).to(device), rowptr


@OPS
@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_the_reference(op, naive, rows, dtype, device):
    weight, rowptr = problem(rows, dtype, device=device)
    out = op(weight, rowptr)
    assert out.dtype == dtype
    assert_close(out, naive(weight.double(), rowptr))


@OPS
@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_equal_those_of_the_reference(op, naive, rows, dtype, device):
    weight, rowptr = problem(rows, dtype, device=device)
    upstream = sample_features(sum(rows), seed=5, dtype=dtype).to(device)
    weight, exact = weight.requires_grad_(), weight.detach().double().requires_grad_()
    (actual,) = torch.autograd.grad(op(weight, rowptr), weight, upstream)
    (expected,) = torch.autograd.grad(naive(exact, rowptr), exact, upstream.double())
    # Beside the upstream gradient's 1: that of the only edge of a row is 0 but for rounding.
    one = torch.ones(1, dtype=dtype, device=device)
    assert_close(torch.cat([actual, one]), torch.cat([expected, one.double()]))


@OPS
def test_derivatives_of_first_and_second_order(op, naive, device):
    weight, rowptr = problem([3, 0, 5, 1], device=device)
    weight.requires_grad_()
    assert torch.autograd.gradcheck(lambda weight: op(weight, rowptr), weight)
    assert torch.autograd.gradgradcheck(lambda weight: op(weight, rowptr), weight)


@OPS
@pytest.mark.parametrize("index", [torch.int32, torch.int64], ids=str)
def test_opcheck(op, naive, index, device):
    weight, rowptr = problem([3, 0, 5, 1], torch.float32, index, device)
    grad = torch.ones_like(weight)
    forward, backward = (getattr(LIBRARY, op.__name__ + end).default for end in ("", "_backward"))
    torch.library.opcheck(forward, (weight.clone().requires_grad_(), rowptr))
    torch.library.opcheck(backward, (weight, rowptr, grad))


@OPS
def test_compiled_and_exported(op, naive, device):
    class Layer(torch.nn.Module):
        def forward(self, weight, rowptr):
            return op(2 * weight, rowptr)

    weight, rowptr = problem([3, 0, 5, 1], device=device)
    weight.requires_grad_()
    wanted = naive(2 * weight, rowptr)
    upstream = sample_features(9, seed=5, dtype=torch.float64).to(device)
    out = torch.compile(Layer(), fullgraph=True, backend="aot_eager")(weight, rowptr)
    assert_close(out, wanted)
    assert_close(
        torch.autograd.grad(out, weight, upstream)[0],
        torch.autograd.grad(wanted, weight, upstream)[0],
    )
    exported = torch.export.export(Layer(), (weight, rowptr)).module()
    assert_close(exported(weight, rowptr), wanted)


@OPS
def test_a_strided_weight(op, naive, device):
    weight, rowptr = problem([3, 0, 5, 1], device=device)
    strided = torch.stack([weight, weight], dim=1)[:, 0].requires_grad_()
    weight.requires_grad_()
    assert torch.equal(op(strided, rowptr), op(weight, rowptr))
    # sum() sends a gradient back that is one number, expanded.
    (actual,) = torch.autograd.grad(op(strided, rowptr).sum(), strided)
    (expected,) = torch.autograd.grad(naive(weight, rowptr).sum(), weight)
    assert_close(actual + 1, expected + 1)


@OPS
def test_the_same_input_gives_the_same_bits(op, naive, device):
    weight, rowptr = problem([1723] * 12, torch.float32, device=device)
    weight.requires_grad_()

    def run():
        out = op(weight, rowptr)
        return out, torch.autograd.grad(out.square().sum(), weight)[0]

    first = run()
    for again in (run(), run()):
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def row_sums(values, rowptr):
    return torch.stack([row.sum() for row in values.split(rowptr.diff().tolist())])


def test_absolute_values_of_a_row_sum_to_one(device):
    weight, rowptr = problem(ROWS[0], device=device)
    wanted = torch.tensor([1.0, 0, 1, 1, 0, 1])
    assert_close(row_sums(row_norm(weight, rowptr).abs(), rowptr), wanted, torch.float32)


def test_a_signed_sum_of_zero_is_harmless(device):
    weight = torch.tensor([2.0, -2.0, 0.0], device=device, requires_grad=True)
    out = row_norm(weight, torch.tensor([0, 3], device=device))
    assert_close(out, torch.tensor([0.5, -0.5, 0.0]))
    out[0].backward()
    # a = w / (|w| + |v|), so that da/dw = |v| / (|w| + |v|)^2 and da/dv = -w sign(v) / (..)^2
    assert_close(weight.grad, torch.tensor([0.125, 0.125, 0.0]))


def test_a_row_of_zeros_stays_zero(device):
    weight = torch.zeros(4, device=device, requires_grad=True)
    out = row_norm(weight, torch.tensor([0, 2, 4], device=device))
    out.sum().backward()
    assert (out == 0).all()
    assert weight.grad.isfinite().all()


def test_scale_of_a_row_cancels(device):
    weight, rowptr = problem(ROWS[0], device=device)
    assert_close(row_norm(1000 * weight, rowptr), row_norm(weight, rowptr), torch.float32)


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e3, 1e6])
def test_the_unit_of_length_does_not_matter(unit, device):
    weight, rowptr = problem([3, 0, 5, 1], torch.float32, device=device)
    assert_close(row_norm(unit * weight, rowptr), row_norm(weight, rowptr))


@OPS
@pytest.mark.parametrize(
    ("rowptr", "message"),
    [
        ([0, 3], r"^rowptr=0\.\.3: there are 5 weights.*Give 0\.\.5"),
        ([1, 5], r"^rowptr=1\.\.5"),
        ([0, 4, 2, 5], r"^rowptr=\[4, 2\]: row 1 ends before it starts"),
        ([], r"^rowptr=\[0\]: not the starts of rows.*\[M \+ 1\]"),
        ([[0, 5]], r"^rowptr=\[1, 2\]: not the starts of rows"),
    ],
)
def test_a_wrong_rowptr(op, naive, rowptr, message):
    with pytest.raises(InputError, match=message):
        op(torch.ones(5), torch.tensor(rowptr, dtype=torch.long))


def test_softmax_rows_sum_to_one_for_any_offset(device):
    weight, rowptr = problem([4, 2, 7], torch.float32, device=device)
    out = row_softmax(weight + 500, rowptr)
    assert_close(row_sums(out, rowptr), torch.ones(3))
    assert (out > 0).all()


@OPS
def test_weights_of_another_shape(op, naive):
    with pytest.raises(InputError, match=r"^weight=\[2, 3\]: not one weight an edge.*\[E\]"):
        op(torch.zeros(2, 3), torch.tensor([0, 6]))
