"""Refinement brings a body to its joints, and nobody's numbers move another person."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from bilayer_graph.body import (
    UPRIGHT,
    BodyModel,
    PlacedBones,
    ReducedBody,
    axis_angle_to_matrix,
    refine,
)
from bilayer_graph.body.refine import Sight, find_place, refine_body

INDEX = torch.arange(0, 6890, 97)
PLACE = torch.tensor([[0.3, -0.2, 4.0], [-0.5, 0.1, 2.5], [0.0, 0.0, 8.0], [0.1, 0.4, 3.0]])


@pytest.fixture(scope="module")
def reduced(body: BodyModel) -> ReducedBody:
    return ReducedBody(body, INDEX)


def people(reduced: ReducedBody, spread: float = 0.3, seed: int = 0):
    """Four people before a camera: rotations in its axes, shapes and placed bones."""
    generator = torch.Generator().manual_seed(seed)
    turns = spread * torch.randn(4, 24, 3, generator=generator)
    relative = axis_angle_to_matrix(turns)
    relative[:, 0] = UPRIGHT @ relative[:, 0]
    rotations = reduced.absolute(relative).to(reduced.template.dtype)
    betas = torch.randn(4, 10, generator=generator).clamp(-1, 1).to(reduced.template.dtype)
    return rotations, betas, reduced.place(rotations, betas)


def sight_of(reduced: ReducedBody, bones: PlacedBones, place=PLACE) -> Sight:
    points = reduced.keypoints(bones) + place.unsqueeze(1)
    return Sight(points[..., :2] / points[..., 2:], torch.ones(points.shape[:2]).to(points))


def moved(reduced: ReducedBody, rotations, amount: float, seed: int = 3):
    """All joints turned at random."""
    turns = amount * torch.randn(4, 24, 3, generator=torch.Generator().manual_seed(seed))
    relative = reduced.relative(rotations) @ axis_angle_to_matrix(turns).to(rotations)
    return reduced.absolute(relative)


@pytest.mark.parametrize("kind", ["joint", "keypoint"])
def test_slopes_are_those_of_numerical_differences(body: BodyModel, kind: str):
    reduced = ReducedBody(body, INDEX).double()
    rotations, betas, bones = people(reduced)
    points, slopes = refine._points_and_slopes(reduced, bones, betas, kind)
    of = reduced.joints if kind == "joint" else reduced.keypoints
    torch.testing.assert_close(points, of(bones))
    assert slopes.shape == (4, points.size(1), 3, 3 * 24 + 10)
    step = 1e-5

    def at(turns, shape):
        turned = refine._turn_subtrees(reduced, rotations, turns)
        return of(reduced.place(turned, betas + shape))

    zero_turn, zero_shape = torch.zeros(4, 24, 3).double(), torch.zeros(4, 10).double()
    for number in [*range(0, 72, 5), *range(72, 82)]:
        turns, shape = zero_turn.clone(), zero_shape.clone()
        (turns.view(4, -1) if number < 72 else shape)[:, number % 72] = step
        slope = (at(turns, shape) - at(-turns, -shape)) / (2 * step)
        torch.testing.assert_close(slopes[..., number], slope, atol=1e-8, rtol=1e-6)


def test_slopes_of_the_projection(body: BodyModel):
    reduced = ReducedBody(body, INDEX).double()
    points = reduced.keypoints(people(reduced)[2]) + PLACE.double().unsqueeze(1)
    sight = sight_of(reduced, people(reduced, seed=1)[2], PLACE.double())
    eye = torch.eye(3).double().expand(4, 17, 3, 3)
    slopes, residual = refine._project(points, eye, sight)
    depth = points[..., 2:]
    off = sight.tangents - points[..., :2] / depth
    trust = depth / 0.03 / (1 + ((off.norm(dim=-1, keepdim=True) * depth) / 0.07) ** 2)
    torch.testing.assert_close(residual, off * trust)
    for axis in range(3):
        shift = 1e-6 * torch.eye(3).double()[axis]
        ahead, behind = points + shift, points - shift
        slope = (ahead[..., :2] / ahead[..., 2:] - behind[..., :2] / behind[..., 2:]) / 2e-6
        torch.testing.assert_close(slopes[..., axis], slope * trust, atol=1e-6, rtol=1e-6)


def test_a_body_at_its_joints_stays(reduced: ReducedBody):
    rotations, betas, bones = people(reduced)
    found = refine_body(reduced, rotations, betas, reduced.joints(bones), sight_of(reduced, bones))
    torch.testing.assert_close(found.bones.turn, rotations, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.betas, betas, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.place, PLACE, atol=1e-2, rtol=0)


def test_a_moved_body_comes_back(reduced: ReducedBody):
    rotations, betas, bones = people(reduced)
    joints, sight = reduced.joints(bones), sight_of(reduced, bones)
    start = moved(reduced, rotations, 0.12)
    found = refine_body(reduced, start, torch.zeros_like(betas), joints, sight)
    before = (reduced.joints(reduced.place(start, 0 * betas)) - joints).norm(dim=-1).mean(1)
    after = (reduced.joints(found.bones) - joints).norm(dim=-1).mean(1)
    assert (before > 0.03).all()
    assert (after < 0.25 * before).all()
    seen = sight_of(reduced, found.bones, found.place).tangents
    off = ((seen - sight.tangents).norm(dim=-1) * PLACE[:, 2:]).mean(1)
    assert (off < 0.01).all()
    assert ((found.place - PLACE).norm(dim=1) < 0.1 * PLACE[:, 2]).all()
    # What it says of the bones is what places them.
    again = reduced.place(found.bones.turn, found.betas)
    torch.testing.assert_close(reduced.joints(again), reduced.joints(found.bones))
    turn = found.bones.turn
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand_as(turn), atol=1e-5, rtol=0)


def test_one_person_that_is_not_finite_leaves_the_others_alone(reduced: ReducedBody):
    rotations, betas, bones = people(reduced)
    joints, sight = reduced.joints(bones), sight_of(reduced, bones)
    start = moved(reduced, rotations, 0.1)
    expected = refine_body(reduced, start, betas, joints, sight)
    broken_start, broken_joints, tangents = start.clone(), joints.clone(), sight.tangents.clone()
    broken_start[0] = torch.nan
    broken_joints[1, 3, 1] = torch.nan
    tangents[2, 5] = torch.inf
    broken = sight._replace(tangents=tangents)
    found = refine_body(reduced, broken_start, betas, broken_joints, broken)
    torch.testing.assert_close(found.bones.turn[3], expected.bones.turn[3])
    torch.testing.assert_close(found.place[3], expected.place[3])
    assert not found.bones.turn[0].isfinite().all()


def test_keypoints_of_no_weight_may_hold_anything(reduced: ReducedBody):
    rotations, betas, bones = people(reduced)
    joints, sight = reduced.joints(bones), sight_of(reduced, bones)
    weight = sight.weight.clone()
    weight[:, [0, 9]] = 0
    start = moved(reduced, rotations, 0.1)
    expected = refine_body(reduced, start, betas, joints, sight._replace(weight=weight))
    tangents = sight.tangents.clone()
    tangents[:, [0, 9]] = torch.tensor([[5.0, -7.0], [100.0, 3.0]])
    found = refine_body(reduced, start, betas, joints, Sight(tangents, weight))
    torch.testing.assert_close(found.bones.turn, expected.bones.turn)
    torch.testing.assert_close(found.place, expected.place)


def test_a_keypoint_far_off_hardly_counts(reduced: ReducedBody):
    rotations, betas, bones = people(reduced)
    joints, sight = reduced.joints(bones), sight_of(reduced, bones)
    tangents = sight.tangents.clone()
    wrist = 9
    tangents[:, wrist] += torch.tensor([0.5, 0.0])
    # Seen from where it is, the person hardly moves, and less than for a keypoint that is nearly
    # right.
    found = refine_body(reduced, rotations, betas, joints, sight._replace(tangents=tangents))
    moved_by = (reduced.joints(found.bones) - joints).norm(dim=-1)
    assert moved_by.max() < 0.05


def test_shapes_and_turns_have_limits(reduced: ReducedBody):
    rotations, betas, bones = people(reduced)
    start = moved(reduced, rotations, 1.5)
    joints = 3 * reduced.joints(bones)
    found = refine_body(reduced, start, betas, joints, sight_of(reduced, bones))
    assert found.betas.abs().max() <= 3
    assert found.bones.turn.isfinite().all()


def test_no_gradient_and_no_change_of_what_is_given(reduced: ReducedBody):
    rotations, betas, bones = people(reduced)
    rotations = moved(reduced, rotations, 0.1).requires_grad_()
    given = [x.detach().clone() for x in (rotations, betas)]
    found = refine_body(reduced, rotations, betas, reduced.joints(bones), sight_of(reduced, bones))
    assert not found.bones.turn.requires_grad
    assert torch.equal(rotations, given[0])
    assert torch.equal(betas, given[1])


def test_autocast_changes_nothing(reduced: ReducedBody):
    rotations, betas, bones = people(reduced)
    given = (reduced, moved(reduced, rotations, 0.1), betas, reduced.joints(bones))
    expected = refine_body(*given, sight_of(reduced, bones))
    with torch.autocast("cpu", torch.bfloat16):
        found = refine_body(*given, sight_of(reduced, bones))
    assert torch.equal(found.bones.turn, expected.bones.turn)


def test_the_place_is_that_of_numpys_least_squares(reduced: ReducedBody):
    _, _, bones = people(reduced)
    points, sight = reduced.keypoints(bones), sight_of(reduced, bones)
    tangents = sight.tangents + 0.01 * torch.randn(4, 17, 2, generator=torch.manual_seed(0))
    weight = torch.rand(4, 17, generator=torch.manual_seed(1))
    found = find_place(points, Sight(tangents, weight))
    for row in range(4):
        x, (u, v), root = points[row].double().numpy(), tangents[row].double().numpy().T, None
        root = np.sqrt(weight[row].double().numpy())
        one, zero = np.ones(17), np.zeros(17)
        rows = np.concatenate(
            [
                np.stack([one, zero, -u], 1) * root[:, None],
                np.stack([zero, one, -v], 1) * root[:, None],
            ]
        )
        wanted = np.concatenate([(u * x[:, 2] - x[:, 0]) * root, (v * x[:, 2] - x[:, 1]) * root])
        expected = np.linalg.lstsq(rows, wanted, rcond=None)[0]
        np.testing.assert_allclose(found[row].numpy(), expected, atol=5e-3)
    exact = find_place(points, sight)
    torch.testing.assert_close(exact, PLACE, atol=2e-3, rtol=0)


def test_a_place_is_in_front_of_the_camera(reduced: ReducedBody):
    _, _, bones = people(reduced)
    points = reduced.keypoints(bones)
    sight = sight_of(reduced, bones)
    for odd in (
        sight._replace(tangents=-sight.tangents),
        sight._replace(weight=torch.zeros(4, 17)),
        Sight(torch.zeros(4, 17, 2), torch.ones(4, 17)),
    ):
        place = find_place(points, odd)
        assert place.isfinite().all()
        assert ((points + place.unsqueeze(1))[..., 2] > 0.29).all()


def test_steps_go_where_scipys_minimum_is(body: BodyModel):
    """With the keypoints alone taken away, the problem is small: the turn of one bone."""
    reduced = ReducedBody(body, INDEX).double()
    rotations, betas, bones = people(reduced, spread=0.0)
    joints = reduced.joints(bones)
    sight = Sight(torch.zeros(4, 17, 2).double(), torch.zeros(4, 17).double())
    elbow = torch.zeros(4, 24, 3).double()
    elbow[:, 18, 2] = 0.2
    start = refine._turn_subtrees(reduced, rotations, elbow)
    found = refine_body(reduced, start, betas, joints, sight)

    def cost(bones, turns, shape):
        left = (reduced.joints(bones) - joints) / 0.12
        return [left[0].flatten(), turns.flatten() / 0.2, (shape - betas)[0]]

    def residuals(x):
        turns = torch.from_numpy(x[:72]).view(1, 24, 3).expand(4, 24, 3)
        shape = betas + torch.from_numpy(x[72:])
        turned = refine._turn_subtrees(reduced, start, turns)
        return torch.cat(cost(reduced.place(turned, shape), turns[0], shape)).numpy()

    best = least_squares(residuals, np.zeros(82), max_nfev=6)
    turns = torch.from_numpy(best.x[:72]).view(1, 24, 3).expand(4, 24, 3)
    wanted = reduced.joints(
        reduced.place(
            refine._turn_subtrees(reduced, start, turns), betas + torch.from_numpy(best.x[72:])
        )
    )
    gap = (reduced.joints(found.bones) - wanted)[0].norm(dim=-1)
    moved_by = (reduced.joints(reduced.place(start, betas)) - wanted)[0].norm(dim=-1)
    assert moved_by.max() > 0.01
    assert gap.max() < 0.1 * moved_by.max()
