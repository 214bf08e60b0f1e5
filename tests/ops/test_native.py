import shutil
from importlib import import_module

import pytest
import torch
from torch.utils import cpp_extension

from bilayer_graph.errors import InputError
from bilayer_graph.ops import group_norm, use_native
from bilayer_graph.testing import assert_close

native = import_module("bilayer_graph.ops._native")
COMPILER = pytest.mark.skipif(
    shutil.which("ninja") is None or shutil.which("c++") is None,
    reason="no C++ compiler and ninja",
)


@pytest.fixture(autouse=True)
def off_again():
    yield
    use_native(False)


@COMPILER
@pytest.mark.parametrize("grad", [False, True], ids=["inference", "training"])
def test_the_code_is_called(grad, monkeypatch):
    calls = []
    for name in ("group_norm", "group_norm_backward"):
        function = getattr(native, name)
        monkeypatch.setattr(native, name, lambda *a, f=function, n=name: calls.append(n) or f(*a))
    x, weight = torch.randn(2, 700, 64, requires_grad=grad), torch.ones(64)
    group_norm(x, 8, weight, weight, 1e-5)
    assert calls == []
    use_native()
    out = group_norm(x, 8, weight, weight, 1e-5)
    if grad:
        out.square().sum().backward()
    assert calls == ["group_norm", "group_norm_backward"][: 1 + grad]


@COMPILER
@pytest.mark.parametrize("shape", [(1, 5000, 40), (3, 129, 256), (2, 1, 8), (1, 3, 20000)], ids=str)
def test_any_number_of_threads_gives_the_same_bits(shape):
    use_native()
    torch.manual_seed(0)
    x = torch.randn(shape) + 1e4
    weight, bias, grad = torch.rand(shape[2]), torch.randn(shape[2]), torch.randn(shape)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        out, mean, rstd = native.group_norm(x, shape[2] // 4, weight, bias, 1e-5, True)
        grads = native.group_norm_backward(grad, x, weight, bias, mean, rstd, True)
        results.append((out, mean, rstd, *grads))
    torch.set_num_threads(before)
    assert all(map(torch.equal, results[0], results[1]))
    assert all(map(torch.equal, results[0], results[2]))
    groups = x.double().unflatten(2, (shape[2] // 4, 4))
    assert_close(results[0][1].squeeze(2), groups.mean(dim=(1, 3)))


@COMPILER
def test_nan_stays_nan_and_in_its_item():
    use_native()
    x, weight = torch.randn(2, 700, 64), torch.ones(64)
    x[1, 3, 5] = torch.nan
    with torch.no_grad():
        out = group_norm(x, 8, weight, weight, 1e-5, relu=True)
    assert out[0].isfinite().all()
    assert out[1, :, :8].isnan().all()


def test_without_a_compiler(monkeypatch):
    def load(*_, **__):
        raise RuntimeError("Ninja is required to load C++ extensions")

    monkeypatch.setattr(cpp_extension, "load", load)
    native._build.cache_clear()
    with pytest.raises(InputError, match=r"^use_native=group_norm.cpp: cannot be built \(Ninja"):
        use_native()
    assert not native.serves(torch.ones(1))
    native._build.cache_clear()
