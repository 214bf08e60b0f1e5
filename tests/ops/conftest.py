import pytest
import torch
from spmm_problems import problem


@pytest.fixture(scope="session")
def kernel_device():
    """Where Triton kernels run: on the GPU, or on the CPU under the interpreter."""
    errors = pytest.importorskip("triton.runtime.errors")
    if torch.cuda.is_available():
        return torch.device("cuda")
    from bilayer_graph.ops._triton.spmm import spmm

    matrix, _, _, x = problem("one node")
    try:
        spmm(*matrix, x)
    except errors.InterpreterError as error:
        # Triton 3.6 converts arrays of one element to numbers, which NumPy 2.4 refuses.
        if "0-dimensional" not in str(error):
            raise
        pytest.skip("this Triton's interpreter runs no loops with this NumPy")
    return torch.device("cpu")
