"""Where cameras stand: around the person, near and far, sometimes above; never inside."""

import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from bilayer_graph.body import UPRIGHT
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.viewpoints import (
    PerspectiveViews,
    about,
    sample_cameras,
    sample_orientations,
    sample_views,
)
from bilayer_graph.testing import assert_close, sample_features

COUNT = 6000
DRAWS = Draws(0, torch.arange(COUNT))
JOINTS = torch.tensor([0.25, 0.85, 0.15]) * sample_features(COUNT, 12, 3).clamp(-1, 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_about_an_axis_is_scipys(axis):
    angle = sample_features(20)
    vectors = angle.double().unsqueeze(1) * torch.eye(3).double()[axis]
    expected = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    assert_close(about(axis, angle), expected)


def orientations(postures):
    roots = torch.eye(3).expand(COUNT, 3, 3)
    body = sample_orientations(DRAWS, roots, torch.full((COUNT,), postures))
    return sample_cameras(DRAWS) @ body


@pytest.mark.parametrize(("postures", "lying"), [(False, 0.05), (True, 0.12)])
def test_most_people_stand_and_face_anywhere(postures, lying):
    turns = orientations(postures)
    assert_close(turns @ turns.mT, torch.eye(3).expand(COUNT, 3, 3))
    assert_close(torch.linalg.det(turns), torch.ones(COUNT))
    up = turns[:, :, 1]
    upright = up[:, 1] < -math.cos(math.radians(50))
    # Some lie, and of the 7 % that tumble a sixth ends up near upright.
    assert abs((~upright).float().mean() - (lying + 0.07 * 0.83)) < 0.02
    heading = torch.atan2(turns[upright, 0, 2], -turns[upright, 2, 2])
    shares = heading.histc(8, -math.pi, math.pi) / upright.sum()
    assert (shares - 1 / 8).abs().max() < 0.02
    # The camera looks from above as often as from below: half within a few degrees.
    tilt = torch.asin(up[upright, 2]).rad2deg()
    assert abs(tilt.mean()) < 1.5
    assert 6 < tilt.abs().median() < 14
    roll = torch.atan2(up[upright, 0], -up[upright, 1]).rad2deg()
    assert 4 < roll.std() < 9


def test_roots_turn_with_the_world():
    """The same draws: what the root adds is inside of what the view does."""
    turned = Rotation.random(COUNT, random_state=0).as_matrix()
    roots = torch.from_numpy(turned).float()
    postures = torch.zeros(COUNT, dtype=torch.bool)
    seen = sample_cameras(DRAWS) @ sample_orientations(DRAWS, roots, postures)
    assert_close(seen, orientations(False) @ roots)


def test_projection_by_hand():
    views = PerspectiveViews(
        place=torch.tensor([[1.0, 2.0, 4.0]]).repeat(2, 1),
        depth=torch.tensor([4.0, 4.0]),
        weak=torch.tensor([False, True]),
    )
    points = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 0.0, -9.0]]]).repeat(2, 1, 1)
    expected = torch.tensor([[[0.4, 0.4], [4.0, 8.0]], [[0.5, 0.5], [0.25, 0.5]]])
    assert_close(views.project(points), expected)


def test_cameras_stand_near_and_far_and_see_the_person():
    views = sample_views(DRAWS, JOINTS)
    low, high = JOINTS.amin(1), JOINTS.amax(1)
    size = 1.2 * (high - low)[:, :2].amax(1)
    distance = views.depth / size
    assert distance.min() > 1.1499
    assert distance.max() < 10 + 1e-3
    # As many in each doubling of the distance.
    assert abs(distance.median() - (1.15 * 10) ** 0.5) < 0.25
    centre = views.place + (low + high) / 2
    assert_close(centre[:, 2], views.depth)
    aside = (centre[:, :2] / views.depth.clamp_max(8).unsqueeze(1)).abs()
    for axis, limit in enumerate((0.14, 0.10)):
        assert 0.95 * limit < aside[:, axis].max() < limit + 1e-5
    assert abs(views.weak.float().mean() - 0.1) < 0.015
    # Nobody comes nearer than the lens.
    nearest = (JOINTS + views.place.unsqueeze(1))[..., 2].amin(1)
    assert nearest.min() > 0.69


def test_a_person_of_no_size_is_seen_from_outside():
    views = sample_views(Draws(0, torch.arange(50)), torch.zeros(50, 12, 3))
    assert (views.depth >= 0.69).all()
    assert views.project(torch.zeros(50, 12, 3)).isfinite().all()


def test_upright_is_the_camera_axes():
    assert_close(UPRIGHT @ torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, -2.0, -3.0]))
