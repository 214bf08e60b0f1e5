import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports a kernel

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=GPU)])
def device(request):
    return torch.device(request.param)


@pytest.fixture
def poisoned_memory():
    """New memory holds NaN, so that output that nobody writes shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(2).isnan().all()
    assert torch.ones(1).new_empty(2).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def kernel_device():
    """Where Triton kernels run: on the GPU, or on the CPU under the interpreter."""
    errors = pytest.importorskip("triton.runtime.errors")
    if torch.cuda.is_available():
        return torch.device("cuda")
    from bilayer_graph.ops import sparse_matrix
    from bilayer_graph.ops._triton.spmm import spmm

    matrix, _ = sparse_matrix(torch.zeros(2, 1, dtype=torch.long), None, (1, 1))
    try:
        spmm(*matrix, torch.ones(1, 1, 1))
    except errors.InterpreterError as error:
        # Triton 3.6 converts arrays of one element to numbers, which NumPy 2.4 refuses.
        if "0-dimensional" not in str(error):
            raise
        pytest.skip("this Triton's interpreter runs no loops with this NumPy")
    return torch.device("cpu")
