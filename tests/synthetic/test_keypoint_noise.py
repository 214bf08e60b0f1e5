"""Keypoint errors have the statistics of a detector."""

import pytest
import torch

from bilayer_graph.body.joints import JOINT_NAMES, LEFT_RIGHT
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.keypoint_noise import detect_keypoints

COUNT, BOX = 20000, 1.6


@pytest.fixture(scope="module")
def case():
    draws = Draws(0, torch.arange(COUNT))
    points = draws.uniform("points", 12, 2, low=-0.7, high=0.7)
    # A quarter of the joints is covered, as in the rendered pictures.
    visible = draws.uniform("seen", 12) > 0.24
    found = detect_keypoints(draws, points, visible, torch.full((COUNT,), BOX))
    error = (found[..., :2] - points).norm(dim=-1) / BOX
    return points, visible, found, error


def share(error, where):
    return (error[where] < 0.05).float().mean().item()


def test_share_of_near_joints(case):
    _, visible, found, error = case
    known = found[..., 2] > 0
    assert abs(share(error, known) - 0.86) < 0.015
    assert abs((error[known] < 0.1).float().mean() - 0.93) < 0.012
    assert share(error, known & visible) > share(error, known & ~visible) + 0.08


def test_wrists_and_ankles_are_worse(case):
    _, _, found, error = case
    known = found[..., 2] > 0
    ends = torch.tensor([name.endswith(("wrist", "ankle")) for name in JOINT_NAMES])
    assert share(error, known & ends) < share(error, known & ~ends) - 0.08


def test_missing_joints_are_zero_and_more_often_covered(case):
    _, visible, found, _ = case
    missing = found[..., 2] == 0
    assert (found[missing] == 0).all()
    assert abs(missing[visible].float().mean() - 0.025) < 0.003
    assert abs(missing[~visible].float().mean() - 0.15) < 0.01


def test_confidence_falls_with_the_error(case):
    _, _, found, error = case
    known = found[..., 2] > 0
    confidence = found[..., 2][known]
    assert confidence.min() > 0
    assert confidence.max() <= 1
    pair = torch.stack([error[known].clamp_max(0.3), confidence])
    assert torch.corrcoef(pair)[0, 1] < -0.4


def test_sides_are_swapped_now_and_then(case):
    points, _, found, error = case
    other = (found[..., :2] - points[:, LEFT_RIGHT]).norm(dim=-1) / BOX
    known = found[..., 2] > 0
    swapped = (other < 0.03) & (error > 0.1) & known
    assert 0.008 < swapped[known].float().mean() < 0.03


def test_joints_outside_the_picture_are_mostly_missing_and_never_beyond_it():
    draws = Draws(0, torch.arange(2000))
    points = torch.full((2000, 12, 2), 1.3)
    found = detect_keypoints(
        draws, points, torch.zeros(2000, 12, dtype=torch.bool), torch.ones(2000)
    )
    assert abs((found[..., 2] == 0).float().mean() - 0.85) < 0.02
    assert found[..., :2].abs().max() <= 1
