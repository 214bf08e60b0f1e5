"""How close is close: one table of tolerances for the whole package."""

import torch
from torch import Tensor

TOLERANCES: dict[torch.dtype, float] = {
    torch.float64: 1e-11,
    torch.float32: 2e-5,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}
"""Allowed error by the dtype that was computed in, as a share of the largest expected value."""


def assert_close(actual: Tensor, expected: Tensor, dtype: torch.dtype | None = None) -> None:
    r"""Assert that a result equals an independent one, up to the rounding of its dtype.

    .. math:: |a_i - e_i| \le \epsilon(\mathrm{dtype}) \, \max_j |e_j| \quad \text{for all } i

    The error is measured against the largest value, not the value beside it: where terms cancel,
    rounding leaves an error of the size of the terms. Compared in float64.

    Args:
        actual: The result.
        expected: What it should be, of the same shape and of any dtype.
        dtype: The dtype that was computed in, if it is not that of ``actual`` (autocast).

    Raises:
        AssertionError: If shapes differ, a value is not finite, or an error is too large.
        KeyError: If there is no tolerance for the dtype; integers have none, compare them exactly.
    """
    tolerance = TOLERANCES[actual.dtype if dtype is None else dtype]
    assert actual.shape == expected.shape, (
        f"shape {list(actual.shape)} instead of {list(expected.shape)}"
    )
    if expected.numel() == 0:
        return
    got, wanted = actual.detach().cpu().double(), expected.detach().cpu().double()
    assert got.isfinite().all(), "the result is not finite"
    error, scale = (got - wanted).abs().max(), wanted.abs().max()
    assert error <= tolerance * scale, (
        f"largest error {error:.3g}, allowed {tolerance * scale:.3g} ({tolerance:g} of {scale:.3g})"
    )
