"""Poses stay inside the ranges of motion and out of the body."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bilayer_graph.body import SMPL_PARENTS, BodyModel
from bilayer_graph.synthetic.anatomy import BODY_JOINTS, joint_limits, mirror_pose, to_matrices
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.everyday_poses import ARMS, STANCES
from bilayer_graph.synthetic.poses import sample_angles, sample_poses
from bilayer_graph.synthetic.self_contact import penetration

ARM_JOINTS = ("collar", "shoulder", "elbow", "wrist", "hand")


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def rest(body):
    return body.J_regressor @ body.v_template


def euler(pose, joint):
    """Angles about x, y, z by scipy, in the order of the joint."""
    rotation = Rotation.from_matrix(pose[:, BODY_JOINTS.index(joint)].numpy())
    if joint.endswith(ARM_JOINTS):
        y, z, x = rotation.as_euler("YZX").T
    else:
        x, z, y = rotation.as_euler("XZY").T
    return torch.from_numpy(np.stack([x, y, z], -1)).float()


def test_matrices_equal_scipy():
    angles = (torch.rand(50, 23, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * 3
    pose = to_matrices(angles)
    for place, joint in enumerate(BODY_JOINTS):
        torch.testing.assert_close(euler(pose, joint), angles[:, place], atol=1e-4, rtol=0)


def test_sampled_rotations_lie_inside_the_ranges_of_motion(rest):
    pose = sample_poses(Draws(0, torch.arange(400)), rest, SMPL_PARENTS)
    low, high = joint_limits()
    for place, joint in enumerate(BODY_JOINTS):
        angles = euler(pose, joint)
        assert (angles >= low[place] - 2e-3).all(), joint
        assert (angles <= high[place] + 2e-3).all(), joint


def test_ranges_are_used_and_sides_alike():
    angles = sample_angles(Draws(0, torch.arange(3000)), 1)[:, 0]
    low, high = joint_limits()
    spread = angles.amax(0) - angles.amin(0)
    for joint, axis in (
        ("left_hip", 0),
        ("right_knee", 0),
        ("left_elbow", 1),
        ("right_shoulder", 2),
    ):
        place = BODY_JOINTS.index(joint)
        assert spread[place, axis] > 0.8 * (high - low)[place, axis]
    torch.testing.assert_close(
        mirror_pose(angles).mean(0), angles.mean(0), atol=math.radians(3), rtol=0
    )


def test_limits_contain_the_everyday_poses():
    """No table row lies wholly beyond what the joints allow."""
    low, high = joint_limits().rad2deg()
    hip, knee = BODY_JOINTS.index("left_hip"), BODY_JOINTS.index("left_knee")
    for stance in STANCES.values():
        for leg in (stance.first, stance.second or stance.first):
            assert -leg.hip[1] >= low[hip, 0] - 1e-3
            assert leg.knee[1] <= high[knee, 0] + 1e-3
            assert leg.spread[1] <= high[hip, 2] + 1e-3
    elbow = BODY_JOINTS.index("left_elbow")
    for arm in ARMS.values():
        assert -arm.elbow[1] >= low[elbow, 1] - 1e-3


def test_mirrored_pose_gives_mirrored_skeleton(body):
    angles = sample_angles(Draws(2, torch.arange(4)), 1)[:, 0]
    upright = torch.eye(3).expand(4, 3, 3)
    betas = torch.zeros(4, 10)
    here = body(betas, to_matrices(angles), upright).joints24
    there = body(betas, to_matrices(mirror_pose(angles)), upright).joints24
    pairs = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
    # The rest skeleton itself is symmetric only to a few millimetres.
    torch.testing.assert_close(
        there, here[:, pairs] * torch.tensor([-1.0, 1, 1]), atol=0.02, rtol=0
    )


def test_directions_of_motion(body):
    """Positive flexion bends knees backwards and lifts thighs and forearms to the front."""
    pose = torch.zeros(4, 23, 3)
    pose[0, BODY_JOINTS.index("left_knee"), 0] = 1.0
    pose[1, BODY_JOINTS.index("left_hip"), 0] = -1.0
    pose[2, BODY_JOINTS.index("left_elbow"), 1] = -1.0
    pose[3, BODY_JOINTS.index("left_shoulder"), 2] = 1.0
    rest, *_ = body(
        torch.zeros(1, 10), torch.eye(3).expand(1, 23, 3, 3), torch.eye(3)[None]
    ).joints24
    moved = body(torch.zeros(4, 10), to_matrices(pose), torch.eye(3).expand(4, 3, 3)).joints24
    shift = moved - rest
    assert shift[0, 7, 2] < -0.2  # left ankle backwards
    assert shift[1, 4, 2] > 0.2  # left knee forwards
    assert shift[2, 20, 2] > 0.1  # left wrist forwards
    assert shift[3, 20, 1] > 0.2  # left wrist upwards


def test_penetration_of_known_poses(rest):
    angles = torch.zeros(3, 23, 3)
    # A forearm folded into the trunk, and crossed legs.
    angles[1, BODY_JOINTS.index("left_shoulder"), 1] = math.radians(-110)
    angles[1, BODY_JOINTS.index("left_shoulder"), 2] = math.radians(-40)
    angles[1, BODY_JOINTS.index("left_elbow"), 1] = math.radians(-120)
    angles[2, BODY_JOINTS.index("left_hip"), 2] = math.radians(-20)
    depth = penetration(to_matrices(angles), rest, SMPL_PARENTS)
    assert depth[0] == 0
    assert depth[1] > 0.01
    assert depth[2] > 0.03


def test_few_sampled_poses_penetrate(rest):
    pose = sample_poses(Draws(1, torch.arange(500)), rest, SMPL_PARENTS)
    depth = penetration(pose, rest, SMPL_PARENTS)
    assert (depth < 0.03).float().mean() > 0.97
