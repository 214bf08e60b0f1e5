import gc

import pytest
import scipy.sparse
import torch
from spmm_problems import INDEX_DTYPES, problem

from bilayer_graph.ops import block_diagonal as module
from bilayer_graph.ops import spmm
from bilayer_graph.ops.block_diagonal import block_diagonal, stack_copies
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
    index = torch.tensor([0, 5], dtype=torch.int32)
    assert stack_copies(index, 2**30, 3).tolist() == [0, 5, 2**30, 2**30 + 5, 2**31, 2**31 + 5]
    assert stack_copies(index, 2**30, 1).dtype == torch.int32


def test_the_same_matrix_and_batch_is_prepared_once(monkeypatch):
    built = []
    build = module._build
    monkeypatch.setattr(module, "_build", lambda *args: built.append(args) or build(*args))
    matrix, _, _, x = problem("square")
    for _ in range(3):
        spmm(matrix, x)
    assert len(built) == 1
    spmm(matrix, x[:2])
    assert len(built) == 2


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
    matrix, _, _, x = problem("square")
    before = len(module._LAST)
    spmm(matrix, x)
    assert len(module._LAST) == before + 2
    del matrix
    gc.collect()
    assert len(module._LAST) == before


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
