"""People keep their numbers."""

import torch
from predictors import keypoints

from bilayer_graph.video import Tracker


def at(x, y=0.0, hidden=()):
    moved = keypoints() + torch.tensor([x, y, 0.0])
    moved[list(hidden), 2] = 0.0
    return moved


def test_numbers_do_not_depend_on_the_order_of_a_frame():
    tracker = Tracker()
    assert tracker(0.0, [at(0), at(300)]) == [0, 1]
    assert tracker(0.04, [at(304), at(3)]) == [1, 0]
    assert tracker(0.08, [at(6), at(600), at(308)]) == [0, 2, 1]


def test_all_together_move_least():
    """The nearest alone would be taken for the second, and leave the first without anybody."""
    tracker = Tracker()
    tracker(0.0, [at(0), at(40)])
    assert tracker(0.04, [at(25), at(65)]) == [0, 1]


def test_who_is_out_of_sight_comes_back_within_a_second():
    tracker = Tracker()
    tracker(0.0, [at(0), at(300)])
    tracker(0.5, [at(0)])
    assert tracker(0.9, [at(0), at(300)]) == [0, 1]
    tracker(1.0, [at(0)])
    tracker(1.5, [])
    assert tracker(1.95, [at(0), at(300)]) == [0, 2]


def test_too_far_is_somebody_else():
    tracker = Tracker()
    tracker(0.0, [at(0)])
    assert tracker(0.04, [at(400)]) == [1]


def test_a_stranger_far_away_takes_nobody_from_the_nearest():
    """All together would move a little less if the second became the stranger."""
    tracker = Tracker()
    tracker(0.0, [at(0), at(40)])
    assert tracker(0.04, [at(38), at(600)]) == [1, 2]


def test_hidden_keypoints_do_not_count():
    tracker = Tracker()
    tracker(0.0, [at(0)])
    strange = at(0, hidden=range(11, 17))
    strange[11:, :2] = 5000.0
    assert tracker(0.04, [strange]) == [0]
    nobody = at(0, hidden=range(17))
    assert tracker(0.08, [nobody]) == [1]


def test_numbers_of_an_earlier_run_go_on():
    tracker = Tracker()
    tracker.recall(4, 1.0, at(300))
    tracker.next = 7
    assert tracker(1.04, [at(0), at(302)]) == [7, 4]
