import gc
import types

import pytest
import scipy.sparse
import torch
from spmm_problems import INDEX_DTYPES, problem

from bilayer_graph.ops import block_diagonal as module
from bilayer_graph.ops import sddmm, spmm
from bilayer_graph.ops.block_diagonal import block_diagonal, index_dtype, stack_copies
from bilayer_graph.testing import assert_close


@pytest.mark.parametrize("index", INDEX_DTYPES, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_agrees_with_scipy(index, batch, device):
    matrix, dense, _, _ = problem("wide", device=device, index=index)
    starts, col = block_diagonal(matrix.rowptr, matrix.col, 13, batch)
    csr = scipy.sparse.block_diag([scipy.sparse.csr_matrix(dense.numpy())] * batch, format="csr")
    assert starts.dtype == col.dtype == index
    assert starts.tolist() == csr.indptr[:-1].tolist()
    assert col.tolist() == csr.indices.tolist()


def test_indices_beyond_int32_are_wide():
    rowptr, col = (torch.tensor(index, dtype=torch.int32) for index in ([0, 2], [0, 5]))
    starts, index = block_diagonal(rowptr, col, 2**30, 3)
    assert index.tolist() == [0, 5, 2**30, 2**30 + 5, 2**31, 2**31 + 5]
    assert starts.tolist() == [0, 2, 4]
    assert starts.dtype == index.dtype == torch.int64
    assert stack_copies(col, 2**30, 1).dtype == torch.int32


@pytest.mark.parametrize(("rows", "columns", "entries"), [(50, 2, 2), (2, 50, 2), (2, 2, 50)])
def test_one_dtype_counts_rows_columns_and_entries(rows, columns, entries, monkeypatch):
    real, small = torch.iinfo, types.SimpleNamespace(max=100)
    monkeypatch.setattr(torch, "iinfo", lambda t: small if t is torch.int32 else real(t))
    rowptr, col = torch.zeros(rows + 1).int(), torch.zeros(entries).int()
    assert index_dtype(rowptr, col, columns, batch=2) == torch.int32
    assert index_dtype(rowptr, col, columns, batch=3) == torch.int64


def test_products_with_wide_indices(monkeypatch):
    narrow, _, left, right = problem("long rows", torch.float64)
    wanted = spmm(narrow, right), sddmm(narrow, left, right)
    real, small = torch.iinfo, types.SimpleNamespace(max=150)
    monkeypatch.setattr(torch, "iinfo", lambda t: small if t is torch.int32 else real(t))
    wide = problem("long rows", torch.float64)[0]
    assert_close(spmm(wide, right), wanted[0])
    assert_close(sddmm(wide, left, right), wanted[1])


@pytest.fixture
def built(monkeypatch):
    """The copies that are made."""
    made, stack = [], module.stack_copies
    monkeypatch.setattr(module, "stack_copies", lambda *args: made.append(args) or stack(*args))
    return made


def test_the_same_matrix_and_batch_is_prepared_once(built):
    matrix, _, _, x = problem("square")
    for _ in range(3):
        spmm(matrix, x)
    assert len(built) == 2
    spmm(matrix, x[:2])
    assert len(built) == 4


def test_tensors_of_unknown_origin_are_prepared_each_time(built):
    matrix, dense, _, x = problem("square", torch.float64)
    scratch = matrix.col.clone()
    other = matrix._replace(col=scratch)
    assert_close(spmm(other, x), dense @ x)
    # As compiled code reuses memory: no version tells of it.
    scratch.data.copy_(6 - matrix.col)
    assert_close(spmm(other, x), dense @ x.flip(1))
    assert len(built) == 3


def test_a_matrix_changed_in_place_is_prepared_again():
    matrix, dense, _, x = problem("square", torch.float64)
    assert_close(spmm(matrix, x), dense @ x)
    matrix.col.copy_(6 - matrix.col)
    assert_close(spmm(matrix, x), dense @ x.flip(1))
    matrix.rowptr[1:-1] = matrix.rowptr[-1]
    assert not spmm(matrix, x)[:, 1:].any()


def test_values_changed_in_place_are_prepared_again():
    matrix, dense, _, x = problem("square", torch.float64)
    assert_close(spmm(matrix, x), dense @ x)
    matrix.value.mul_(2)
    assert_close(spmm(matrix, x), 2 * dense @ x)
    assert spmm(matrix, x.float()).dtype == torch.float32


def test_the_copies_go_with_the_matrix():
    gc.collect()
    before = len(module._FIXED)
    matrix, _, _, x = problem("square")
    spmm(matrix, x)
    assert len(module._FIXED) == before + 5
    del matrix
    gc.collect()
    assert len(module._FIXED) == before


def test_in_inference_mode():
    matrix, dense, _, x = problem("square", torch.float64)
    with torch.inference_mode():
        hidden = matrix._replace(col=matrix.col.clone())
        assert_close(spmm(matrix, x), dense @ x)
        assert_close(spmm(hidden, x), dense @ x)
        hidden.col.copy_(6 - matrix.col)
        assert_close(spmm(hidden, x), dense @ x.flip(1))
    x.requires_grad_()
    spmm(matrix, x).sum().backward()
    assert_close(x.grad, dense.sum(0)[:, None].expand_as(x))
