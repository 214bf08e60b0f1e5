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
