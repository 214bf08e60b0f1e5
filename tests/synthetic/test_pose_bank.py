"""Poses drawn: in their shares, mirrored half the time, moved a little."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from bilayer_graph.body import SMPL_JOINT_NAMES, BodyModel, axis_angle_to_matrix, mirror_rotations
from bilayer_graph.synthetic import PoseBank
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.testing import assert_close, sample_features

COUNT = 3000
NO_TURN = torch.eye(3)


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture
def still(monkeypatch):
    """Nothing is moved."""
    monkeypatch.setattr("bilayer_graph.synthetic.pose_bank._JITTER_SHARE", 0.0)


def marked(first, last):
    """Real poses whose joints are all turned about y: by 1 radian in one, 2 in the other."""
    angle = torch.tensor([first, last]).view(2, 1, 1) * torch.tensor([0.0, 1.0, 0.0])
    return axis_angle_to_matrix(angle.expand(2, 24, 3))


def angle_of(pose):
    """Angle of each joint in radians, [B, J], by scipy."""
    turns = Rotation.from_matrix(pose.flatten(0, 1).double().numpy())
    return torch.from_numpy(turns.magnitude()).view(pose.shape[:2])


def draw(bank, seed=0, count=COUNT):
    return bank.sample(Draws(seed, torch.arange(count)))


def test_shares_of_real_recombined_and_everyday_poses(body, still):
    bank = PoseBank(body, marked(1.0, 2.0), postures=50)
    pose, posture = draw(bank)
    assert abs(posture.float().mean() - 0.35) < 0.03
    angle = angle_of(pose)
    real = torch.stack([((angle - value).abs() < 1e-3).all(1) for value in (1.0, 2.0)]).any(0)
    assert not (real & posture).any()
    # Half of the recombined poses take both halves from real poses, half of those from the same.
    assert abs(real.float().mean() - (0.45 + 0.2 / 4)) < 0.03
    recombined = ~real & ~posture
    legs = [SMPL_JOINT_NAMES.index(name) for name in ("left_hip", "right_knee", "left_foot")]
    lower = angle[recombined][:, [0, *legs]]
    # Legs and root are of one real pose; so is the upper half, or it is of a posture.
    assert (((lower - 1).abs() < 1e-3).all(1) | ((lower - 2).abs() < 1e-3).all(1)).all()
    arms = [SMPL_JOINT_NAMES.index(name) for name in ("spine1", "left_elbow", "right_wrist")]
    upper = angle[recombined][:, arms]
    other = ((upper - (3 - lower[:, :1])).abs() < 1e-3).all(1)
    assert 0.2 < other.float().mean() < 0.5


def test_without_real_poses_all_are_postures(body, still):
    bank = PoseBank(body, postures=60)
    pose, posture = draw(bank, count=200)
    assert posture.all()
    assert_close(pose[:, 0], NO_TURN.expand(200, 3, 3))
    everybody = torch.cat([bank.postures, mirror_rotations(with_root(bank.postures))[:, 1:]])
    gap = torch.cdist(pose[:, 1:].flatten(1), everybody.flatten(1))
    assert gap.min(1).values.max() < 0.02


def with_root(postures):
    return torch.cat([NO_TURN.expand(len(postures), 1, 3, 3), postures], dim=1)


def test_half_of_the_poses_are_mirrored(body, still):
    motion = axis_angle_to_matrix(0.5 * sample_features(1, 24, 3))
    pose, posture = draw(PoseBank(body, motion, postures=50))
    as_it_is = (pose[~posture][:, 0] - motion[:, 0]).abs().amax((1, 2)) < 1e-5
    mirrored = (pose[~posture][:, 0] - mirror_rotations(motion)[:, 0]).abs().amax((1, 2)) < 1e-5
    assert (as_it_is ^ mirrored).all()
    assert abs(mirrored.float().mean() - 0.5) < 0.04
    # As a whole, not joint by joint.
    whole = (pose[~posture] - mirror_rotations(motion)).abs().amax((1, 2, 3)) < 1e-5
    assert not (whole & as_it_is).any()
    assert whole.float().mean() > 0.25


def test_joints_are_turned_a_little_and_the_root_is_not(body):
    pose, posture = draw(PoseBank(body, NO_TURN.expand(1, 24, 3, 3), postures=1))
    real = pose[~posture]
    assert_close(real[:, 0], NO_TURN.expand(len(real), 3, 3))
    # A recombined pose may have the trunk and arms of a posture: the legs tell.
    legs = angle_of(real[:, [4, 5, 7, 8]])
    moved = legs.amax(1) > 1e-4
    assert abs(moved.double().mean() - 0.7) < 0.04
    # The angle of a turn of three normal numbers is 1.6 standard deviations in the mean.
    per_pose = legs[moved].mean(1) / 1.596
    assert per_pose.min() > 0.005
    assert per_pose.max() < 0.14 * 2.2
    assert abs(per_pose.mean() - (0.03 + 0.07 + 0.14) / 3) < 0.01
    # Everyday postures are turned by no more than 0.05: they may not run into themselves.
    first = mirror_or_same(pose[posture], pose[posture][:1])
    assert first.amax() < 0.05 * 5 * 3**0.5 * 2


def mirror_or_same(poses, reference):
    """Angles of joints from the nearer of a pose and its mirror image, [B, J]."""
    both = torch.cat([reference, mirror_rotations(reference)])
    angles = torch.stack([angle_of(one.mT @ poses) for one in both])
    nearer = angles.mean(2).argmin(0)
    return angles[nearer, torch.arange(len(poses))]


def test_a_bank_is_its_seed(body):
    banks = [PoseBank(body, seed=seed, postures=20) for seed in (1, 1, 2)]
    assert torch.equal(banks[0].postures, banks[1].postures)
    assert not torch.equal(banks[0].postures, banks[2].postures)
    assert banks[0].postures.shape == (20, 23, 3, 3)
    assert torch.equal(draw(banks[0], count=8)[0], draw(banks[1], count=20)[0][:8])
