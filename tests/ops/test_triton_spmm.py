"""The kernels, under Triton's interpreter where there is no GPU."""

import pytest
import torch
from spmm_problems import DTYPES, INDEX_DTYPES, PROBLEMS, dense_products, problem

from bilayer_graph.ops import sparse_matrix
from bilayer_graph.testing import assert_close, random_graph

pytest.importorskip("triton")
from bilayer_graph.ops._triton import sddmm, spmm, tiles

NAMES = [name for name in PROBLEMS if name != "large"]  # the interpreter takes minutes
pytestmark = pytest.mark.usefixtures("poisoned_memory")


@pytest.mark.parametrize("index", INDEX_DTYPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_spmm(name, dtype, index, kernel_device):
    matrix, dense, _, x = problem(name, dtype, kernel_device, index)
    out = spmm.spmm(*matrix, x)
    assert out.dtype == dtype
    assert_close(out, dense @ x.cpu().double())


@pytest.mark.parametrize("index", INDEX_DTYPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_sddmm(name, dtype, index, kernel_device):
    matrix, _, left, right = problem(name, dtype, kernel_device, index)
    out = sddmm.sddmm(*matrix, left, right)
    assert out.dtype == dtype
    assert_close(out, dense_products(matrix, left, right))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_float32_values_are_not_rounded_to_narrow_features(dtype, kernel_device):
    matrix, _, _, x = problem("square", device=kernel_device)
    third = matrix._replace(value=torch.full_like(matrix.value, 1 / 3))
    out = spmm.spmm(*third, torch.full_like(x, 3, dtype=dtype))
    # The sum of n thirds of 3 is n, unless a third was rounded before.
    degree = matrix.rowptr.diff().to(dtype)[:, None]
    assert torch.equal(out, degree.expand_as(out))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sums_of_narrow_products_keep_float32(dtype, kernel_device):
    matrix, _, left, right = problem("middle", device=kernel_device)
    left, right = left.to(dtype), right.to(dtype)
    out = sddmm.sddmm(*matrix, left, right)
    assert out.dtype == torch.float32
    assert_close(out, dense_products(matrix, left, right))


def test_any_memory_layout(kernel_device):
    matrix, dense, left, right = problem("wide", torch.float64, kernel_device)
    x = right.transpose(1, 2).contiguous().transpose(1, 2)
    upstream = left.new_ones(1).expand_as(left)
    assert not x.is_contiguous()
    assert_close(spmm.spmm(*matrix, x), dense @ x.cpu())
    assert_close(sddmm.sddmm(*matrix, upstream, x), dense_products(matrix, upstream, x))
    value = matrix.value.repeat_interleave(2)[::2]
    assert_close(spmm.spmm(*matrix._replace(value=value), x), dense @ x.cpu())


def test_the_transpose(kernel_device):
    matrix, dense, left, _ = problem("middle", torch.float64, kernel_device)
    assert_close(spmm.spmm(*matrix.t(), left), dense.t() @ left.cpu())


@pytest.mark.parametrize("programs", [1, 2, 10**6], ids=["few", "two parts", "many"])
def test_any_tile(programs, monkeypatch, kernel_device):
    monkeypatch.setattr(tiles, "PROGRAMS", programs)
    for name in ("square", "middle", "long rows"):
        matrix, dense, left, right = problem(name, torch.float64, kernel_device)
        assert_close(spmm.spmm(*matrix, right), dense @ right.cpu())
        assert_close(sddmm.sddmm(*matrix, left, right), dense_products(matrix, left, right))


class Recorder:
    """Stands for a kernel, and keeps the constants that it is launched with."""

    def __getitem__(self, grid):
        return self.launch

    def launch(self, *args, num_warps, **constants):
        self.constants, self.num_warps = constants, num_warps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("degree", [7, 50], ids=["mesh", "long rows"])
@pytest.mark.parametrize("batch", [1, 64])
def test_what_is_launched_is_what_is_compiled_ahead_of_time(dtype, degree, batch, monkeypatch):
    matrix, _ = sparse_matrix(*random_graph((431, 431), 431 * degree, dtype=dtype), (431, 431))
    x = torch.zeros(batch, 431, 256, dtype=dtype)
    for module, name, args in ((spmm, "spmm", (x,)), (sddmm, "sddmm", (x, x))):
        recorder = Recorder()
        monkeypatch.setattr(module, f"{name}_kernel", recorder)
        getattr(module, name)(*matrix, *args)
        builds = [(build.constants, build.num_warps) for build in module.BUILDS]
        assert (recorder.constants, recorder.num_warps) in builds
