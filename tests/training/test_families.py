"""Families: known answers of constructed people, everybody in one of each kind."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from bilayer_graph.body import UPRIGHT, BodyModel
from bilayer_graph.synthetic import GeometrySamples, PoseBank
from bilayer_graph.training.families import (
    frame_families,
    heading_families,
    keypoint_families,
    lifted_families,
    picture_families,
    trunk_families,
)
from bilayer_graph.training.measured import Measured

AHEAD = torch.tensor([0.0, 0.0, -1.0])


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def standing(body):
    """The joints at rest in camera axes: upright, facing the camera, [12, 3]."""
    return body.joints(body.v_template[None])[0] @ UPRIGHT


@pytest.fixture(scope="module")
def batch(body):
    motion = torch.from_numpy(Rotation.random(24 * 40, random_state=0).as_matrix())
    poses = PoseBank(body, motion.float().view(40, 24, 3, 3), postures=20)
    return GeometrySamples(body, torch.arange(5), poses, 200, 1, seed=3)[0]


def turned(points, axis, degrees):
    """Points [N, 3] turned about an axis by each of some angles, by scipy."""
    axis = torch.tensor(axis, dtype=torch.float64)
    turns = [Rotation.from_rotvec((axis * angle).numpy(), degrees=True) for angle in degrees]
    return torch.stack([torch.from_numpy(turn.apply(points.numpy())) for turn in turns]).float()


def members(families):
    """The number of the family of each person."""
    masks = torch.stack(list(families.values()))
    assert (masks.sum(0) == 1).all()
    return masks.int().argmax(0).tolist()


@pytest.mark.parametrize("axis", [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
@pytest.mark.parametrize("tilt", [0, 35])
def test_the_trunk_is_measured_against_gravity(standing, axis, tilt):
    """However the camera is tilted, and whatever the way in which the person leans."""
    angles = torch.tensor([0, 35, -35, 55, -90, 95, 110, -110, 180])
    joints = turned(standing, axis, angles.tolist())
    up = torch.tensor([0.0, -1.0, 0.0])[None]
    camera = turned(torch.cat([joints.flatten(0, 1), up]), [0.6, 0.0, 0.8], [tilt])[0]
    joints, up = camera[:-1].view_as(joints), camera[-1:].expand(len(joints), 3)
    assert members(trunk_families(joints, up)) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_heading_is_a_quarter_about_the_trunk(standing):
    angles = [0, 35, -35, 55, 90, -125, 145, 180, -145]
    expected = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    joints = turned(standing, [0.0, 1.0, 0.0], angles)
    towards = AHEAD.expand(len(joints), 3)
    assert members(heading_families(joints, towards)) == expected
    # From above, and of people who lie in the picture: the trunk is the axis.
    above = towards + torch.tensor([0.0, -0.8, 0.0])
    assert members(heading_families(joints, above)) == expected
    lying = turned(joints.flatten(0, 1), [0.0, 0.0, 1.0], [90]).view_as(joints)
    assert members(heading_families(lying, towards)) == expected
    # A camera at the left of somebody who faces forward.
    left = torch.tensor([[1.0, 0.0, 0.0]])
    assert members(heading_families(standing[None], left)) == [1]


def test_cut_off_goes_before_covered():
    inside, visible = torch.ones(4, 12, dtype=torch.bool), torch.ones(4, 12, dtype=torch.bool)
    visible[1, :4] = False
    visible[2:, :5] = False
    inside[3, 0] = False
    assert members(frame_families(inside, visible)) == [0, 0, 2, 1]


def test_errors_of_keypoints_are_shares_of_the_box():
    true = torch.zeros(6, 12, 2)
    true[:, 0] = torch.tensor([20.0, 40.0])
    found = torch.cat([true, torch.full((6, 12, 1), 0.5)], dim=-1)
    # The box is 40: these are .04, .06, .09 and .11 of it.
    for person, error in enumerate([1.6, 2.4, 3.6, 4.4]):
        found[person, :, 1] += error
    # Missing joints do not count, wherever they are said to be.
    found[4, :, 1] += 2.4
    found[4, 3:] = torch.tensor([9e9, torch.nan, 0.0])
    found[5, :, 2] = 0
    assert members(keypoint_families(found, true)) == [0, 1, 1, 2, 1, 3]


def test_families_of_people_without_pictures(batch):
    families = lifted_families(batch)
    number = torch.tensor(members(families["limb joints missing"]))
    # COCO's limbs are all but the five of the face.
    missing = (batch["keypoints"][:, 5:, 2] == 0).sum(1)
    assert torch.equal(number, (missing > 0).long() + (missing > 2))
    assert set(number.tolist()) == {0, 1, 2}
    posture = families["pose"]["everyday posture of the sampler"]
    assert torch.equal(posture, batch["posture"])
    assert 0.2 < posture.float().mean() < 0.5
    for family in families.values():
        members(family)


def test_families_of_a_picture(standing):
    pixels = torch.full((17, 2), 30.0)
    sample = {
        "joints": standing,
        "up": torch.tensor([0.0, -1.0, 0.0]),
        # Far to the right, so that the camera sees the person's right side.
        "place": torch.tensor([3.5, 0.0, 2.0]),
        "posture": torch.tensor(True),
        "keypoints_true": pixels,
        "visible": torch.ones(17, dtype=torch.bool),
        "picture": torch.zeros(3, 40, 80),
    }

    def family(kind, **changes):
        families = picture_families(sample | changes, None)[kind]
        return list(families)[members(families)[0]]

    assert family("seen from") == "the side"
    assert family("seen from", place=torch.tensor([1.5, 0.0, 2.0])) == "the front"
    assert family("distance") == "4 m and more"
    assert family("distance", place=torch.tensor([3.0, 0.0, 2.0])) == "below 4 m"
    assert family("limb joints hidden") == "none"
    assert family("mean error of the limb keypoints") == "nobody found"
    assert family("in the picture") == "in full view"
    # The height of the picture is 40, its width 80.
    beside, below, nose = pixels.clone(), pixels.clone(), pixels.clone()
    beside[16], below[16], nose[0] = (
        torch.tensor(place) for place in ([70.0, 30.0], [30.0, 41.0], [-5.0, 5.0])
    )
    assert family("in the picture", keypoints_true=beside) == "in full view"
    assert family("in the picture", keypoints_true=nose) == "in full view"
    assert family("in the picture", keypoints_true=below).startswith("cut off")


def test_figures_of_families_add_up(batch):
    families = lifted_families(batch)
    generator = torch.Generator().manual_seed(0)
    found = torch.rand(200, generator=generator) < 0.8
    errors = {"MPJPE": 100 * torch.rand(int(found.sum()), generator=generator)}
    measured = Measured(errors, found, families)
    everybody = measured.everybody()
    assert (everybody.people, everybody.share) == (200, 1.0)
    for kind, rows in measured.rows().items():
        there = [row for row in rows.values() if row.people]
        assert sum(row.people for row in there) == 200, kind
        assert sum(row.share for row in there) == pytest.approx(1)
        assert sum(row.share * row.found for row in there) == pytest.approx(everybody.found)
        mean = sum(row.people * row.found * row.errors["MPJPE"].mean for row in there)
        assert mean / int(found.sum()) == pytest.approx(everybody.errors["MPJPE"].mean)
    assert (
        max(sum(row.people > 0 for row in rows.values()) for rows in measured.rows().values()) > 2
    )


def test_a_figure_is_mean_interval_and_median():
    found = torch.tensor([True, False, True, True, True])
    errors = torch.tensor([1.0, 2.0, torch.nan, 6.0])
    everybody = Measured({"near": errors}, found, {}).everybody()
    assert everybody.found == pytest.approx(0.8)
    # By hand: variance (4 + 1 + 9) / 2 = 7 of three numbers.
    assert everybody.errors["near"] == pytest.approx((3.0, 1.96 * (7 / 3) ** 0.5, 2.0))
    one = Measured({"near": errors}, found, {}).row(torch.tensor([True, *[False] * 4]))
    assert one.errors["near"].mean == 1
    assert one.errors["near"].interval != one.errors["near"].interval


def test_parts_are_joined_even_if_nobody_was_found():
    def part(found, *errors):
        found = torch.tensor(found)
        measured = {"PVE": torch.tensor(errors)} if errors else {}
        return Measured(measured, found, {"kind": {"yes": found, "no": ~found}})

    joined = Measured.join([part([False]), part([True, False], 3.0), part([True], 5.0)])
    assert joined.errors["PVE"].tolist() == [3, 5]
    assert joined.found.tolist() == [False, True, False, True]
    assert joined.rows()["kind"]["yes"].errors["PVE"].mean == 4
    assert joined.rows()["kind"]["no"].found == 0
    assert Measured.join([part([False])]).everybody().errors == {}
