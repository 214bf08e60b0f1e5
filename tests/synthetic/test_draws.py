"""The counter-based generator: repeatable, independent of the batch, of the right distribution."""

import numpy as np
import pytest
import scipy.stats
import torch

from bilayer_graph.synthetic.draws import Draws, _mix


def python_splitmix(x):
    """The finalizer in Python's unbounded integers."""
    mask = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_mix_equals_unbounded_integers(device):
    numbers = [0, 1, -1, 12345678901234567, -(2**63), 2**63 - 1]
    mixed = _mix(torch.tensor(numbers, device=device)).tolist()
    assert [x % (1 << 64) for x in mixed] == [python_splitmix(x % (1 << 64)) for x in numbers]
    # The first output of splitmix64 with seed 0, as published.
    assert mixed[0] % (1 << 64) == 0xE220A8397B1DCDAF


def test_independent_of_batch():
    whole = Draws(5, torch.arange(20)).normal("x", 3, 2)
    assert torch.equal(whole[7:9], Draws(5, torch.tensor([7, 8])).normal("x", 3, 2))


def test_seed_name_and_index_change_the_draw():
    first = Draws(0, torch.tensor([3])).uniform("x", 8)
    others = [
        Draws(1, torch.tensor([3])).uniform("x", 8),
        Draws(0, torch.tensor([4])).uniform("x", 8),
        Draws(0, torch.tensor([3])).uniform("y", 8),
    ]
    for other in others:
        assert (first - other).abs().min() > 0


@pytest.mark.parametrize("axis", ["samples", "counter"])
def test_distributions(axis):
    samples, count = (20000, 1) if axis == "samples" else (1, 20000)
    draws = Draws(0, torch.arange(samples))
    unit = draws.uniform("u", count, low=-2.0, high=3.0).flatten().numpy()
    assert scipy.stats.kstest(unit, scipy.stats.uniform(-2, 5).cdf).pvalue > 1e-3
    normal = draws.normal("n", count).flatten().numpy()
    assert scipy.stats.kstest(normal, scipy.stats.norm.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(normal[:-1], normal[1:])[0, 1]) < 0.03
    whole = draws.integer("i", 5, count).flatten().bincount(minlength=5).numpy()
    assert scipy.stats.chisquare(whole).pvalue > 1e-3
    weighted = draws.weighted("w", [1, 0, 3], count).flatten().bincount(minlength=3)
    assert weighted[1] == 0
    assert abs(weighted[0].item() / 20000 - 0.25) < 0.015
    assert abs(draws.chance("c", 0.3, count).float().mean().item() - 0.3) < 0.015


def test_the_largest_draw_is_finite():
    # One in 2^24 draws is the largest; this sample has one.
    values = Draws(1, torch.tensor([73 * 256 + 64])).normal("turns", 24, 3)
    assert 5 < values.max() < 6
