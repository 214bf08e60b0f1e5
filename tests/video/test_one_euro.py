"""The 1-euro filter against its formula, and its properties."""

import math

import pytest
import torch

from bilayer_graph.body import axis_angle_to_matrix, matrix_to_axis_angle
from bilayer_graph.video import OneEuro

TIMES = (0.0, 0.04, 0.08, 0.2, 0.24, 0.5)


def by_hand(values, cutoff, beta):
    """The filter of one number a vector, written out."""
    out, speed, last = [values[0]], None, TIMES[0]
    for value, time in zip(values[1:], TIMES[1:], strict=True):
        step = time - last
        now = (value - out[-1]) / step
        slow = 1 / (1 + 1 / (2 * math.pi * 1.0 * step))
        speed = now if speed is None else speed + slow * (now - speed)
        share = 1 / (1 + 1 / (2 * math.pi * (cutoff + beta * abs(speed)) * step))
        out.append(out[-1] + share * (value - out[-1]))
        last = time
    return out


def test_against_the_formula():
    values = [0.0, 1.0, 0.5, 2.0, 2.1, 1.0]
    step = OneEuro(1.5, 0.3)
    found = [float(step(torch.tensor([v]), t)) for v, t in zip(values, TIMES, strict=True)]
    assert found == pytest.approx(by_hand(values, 1.5, 0.3), abs=1e-6)


def test_turns_about_one_axis_are_numbers():
    angles = [3.0, 3.3, 3.5, 2.9, 3.6, 3.1]  # across half a turn, where axis-angle jumps
    step = OneEuro(1.5, 0.3, rotations=True)
    axis = torch.tensor([0.6, 0.0, 0.8])
    found = [
        step(axis_angle_to_matrix(axis * angle), time)
        for angle, time in zip(angles, TIMES, strict=True)
    ]
    for matrix, angle in zip(found, by_hand(angles, 1.5, 0.3), strict=True):
        torch.testing.assert_close(matrix, axis_angle_to_matrix(axis * angle), atol=1e-5, rtol=0)


def test_what_rests_stays_and_noise_shrinks():
    torch.manual_seed(0)
    still, noisy = OneEuro(1.0, 0.1, rotations=True), OneEuro(1.0, 0.1, rotations=True)
    turn = axis_angle_to_matrix(torch.randn(24, 3))
    before, after = [], []
    for i in range(60):
        torch.testing.assert_close(still(turn, i / 25), turn, atol=1e-5, rtol=0)
        shaken = turn @ axis_angle_to_matrix(0.05 * torch.randn(24, 3))
        filtered = noisy(shaken, i / 25)
        if i > 10:
            before.append(matrix_to_axis_angle(turn.mT @ shaken).norm(dim=-1).mean())
            after.append(matrix_to_axis_angle(turn.mT @ filtered).norm(dim=-1).mean())
    assert torch.stack(after).mean() < 0.5 * torch.stack(before).mean()
