import pytest
import torch
from spmm_problems import DTYPES, INDEX_DTYPES, PROBLEMS, dense_products, problem

from bilayer_graph.errors import InputError
from bilayer_graph.ops import reference, sddmm
from bilayer_graph.testing import assert_close, largest_output, sample_features


@pytest.mark.parametrize("index", INDEX_DTYPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_the_dense_product_at_the_entries(name, dtype, index, device, poisoned_memory):
    matrix, _, left, right = problem(name, dtype, device, index)
    out = sddmm(matrix, left, right)
    assert out.dtype == dtype
    assert out.device == left.device
    assert_close(out, dense_products(matrix, left, right))


@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_the_reference(name, device):
    matrix, _, left, right = problem(name, torch.float64, device)
    assert_close(sddmm(matrix, left, right), reference.sddmm(matrix, left, right))


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_equal_those_of_the_reference(name, device):
    matrix, _, left, right = problem(name, torch.float64, device)
    leaves = left.requires_grad_(), right.requires_grad_()
    upstream = sample_features(matrix.col.numel(), seed=5, dtype=torch.float64).to(device)
    got = torch.autograd.grad(sddmm(matrix, *leaves), leaves, upstream)
    want = torch.autograd.grad(reference.sddmm(matrix, *leaves), leaves, upstream)
    for actual, expected in zip(got, want, strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("name", ["square", "empty rows", "one node", "no edges"])
def test_first_and_second_derivatives(name, device):
    matrix, _, left, right = problem(name, torch.float64, device)
    leaves = left.requires_grad_(), right.requires_grad_()
    assert torch.autograd.gradcheck(lambda *leaves: sddmm(matrix, *leaves), leaves)
    assert torch.autograd.gradgradcheck(lambda *leaves: sddmm(matrix, *leaves), leaves)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrow_features_are_summed_in_the_dtype_of_the_values(dtype, device):
    matrix, _, left, right = problem("large", device=device)
    left, right = left.to(dtype), right.to(dtype)
    out = sddmm(matrix, left, right)
    assert out.dtype == torch.float32
    assert_close(out, dense_products(matrix, left, right))


@pytest.mark.parametrize(("batch", "channels"), [(3000, 1), (1, 3000)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_many_narrow_products_are_summed_wide(batch, channels, dtype, device):
    """In bfloat16 a sum of ones ends at 256, in float16 at 2048."""
    matrix, _, left, right = problem("square", device=device)
    left, right = (x.new_ones(batch, x.size(1), channels, dtype=dtype) for x in (left, right))
    assert torch.equal(sddmm(matrix, left, right), torch.full_like(matrix.value, 3000))


def test_the_batch_is_added_up(device):
    matrix, _, left, right = problem("large", device=device)
    items = zip(left, right, strict=True)
    assert_close(sddmm(matrix, left, right), sum(sddmm(matrix, *item) for item in items))


def test_is_the_same_for_the_transpose(device):
    matrix, _, left, right = problem("wide", torch.float64, device)
    transposed = sddmm(matrix.t(), right, left)
    assert_close(transposed, sddmm(matrix, left, right)[matrix.perm_t])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_any_memory_layout(dtype, device):
    matrix, _, left, right = problem("wide", dtype, device)
    left = left.transpose(1, 2).contiguous().transpose(1, 2)
    right = torch.cat([right, right], dim=2)[..., ::2]
    assert not left.is_contiguous()
    assert not right.is_contiguous()
    assert_close(sddmm(matrix, left, right), dense_products(matrix, left, right))


def test_no_message_tensor_is_built(device):
    matrix, _, left, right = problem("large", device=device)
    with largest_output() as largest:
        sddmm(matrix, left.requires_grad_(), right.requires_grad_()).sum().backward()
    assert 0 < largest.numel <= max(left.numel(), right.numel())


def test_is_registered_as_it_behaves(device):
    matrix, _, left, right = problem("square", device=device)
    args = (*matrix, left.requires_grad_(), right.requires_grad_())
    torch.library.opcheck(torch.ops.bilayer_graph.sddmm.default, args)


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ((2, 8, 5), (2, 7, 5), r"^left=\[2, 8, 5\]: the matrix has 7 rows.*Give features"),
        ((2, 7, 5), (2, 6, 5), r"^right=\[2, 6, 5\]: the matrix has 7 columns.*Give features"),
        ((2, 7, 5), (3, 7, 5), r"^right=\[3, 7, 5\].*: left is \[2, 7, 5\].*Give two batches"),
        ((2, 7, 5), (2, 7, 4), r"^right=\[2, 7, 4\].*: left is \[2, 7, 5\].*Give two batches"),
    ],
)
def test_features_that_do_not_fit(left, right, message):
    with pytest.raises(InputError, match=message):
        sddmm(problem("square")[0], torch.zeros(left), torch.zeros(right))
