"""BVH and AMASS files of a motion, read back by the tools that read those of others."""

import numpy as np
import pytest
import torch
from bvh import read_bvh, rest_positions, world_rotations
from motion_samples import FRAMES, RATE, TIMES, posed, rig, rotations, shape, translation, y_up
from poses import main, read_motion
from retarget import retarget
from scipy.spatial.transform import Rotation

from bilayer_graph.body import axis_angle_to_matrix
from bilayer_graph.errors import InputError
from bilayer_graph.render.bvh_file import euler_angles
from bilayer_graph.render.motion import STILL_RATE, even_frames
from bilayer_graph.render.motion_files import write_motion
from bilayer_graph.synthetic.motion import read_poses

# From z up to y up.
AMASS_AXES = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@pytest.fixture(scope="module")
def stem(tmp_path_factory):
    stem = tmp_path_factory.mktemp("motion") / "person.1"
    write_motion(rig(), stem, TIMES, rotations(), translation())
    return stem


def test_names(stem):
    names = ["person.1.bvh", "person.1.glb", "person.1_amass.npz"]
    assert sorted(path.name for path in stem.parent.iterdir()) == names


def test_joints_of_the_bvh_are_where_the_body_has_them(stem, body):
    bvh = read_bvh(stem.parent / "person.1.bvh")
    assert len(bvh.names) == 24
    assert bvh.frame_time == pytest.approx(1 / RATE, rel=1e-6)
    assert len(bvh.motion) == FRAMES
    # All zero is the T-pose, in centimetres.
    order = [list(bvh.names).index(name) for name in names()]
    rest = rest_positions(bvh).numpy()[order]
    np.testing.assert_allclose(rest, 100 * rig().joints, atol=1e-3)
    world = world_rotations(bvh, range(24), slice(None))
    places = {}
    for joint, parent in enumerate(bvh.parents):
        offset = bvh.offsets[joint].numpy()
        root = bvh.motion[:, :3].numpy()
        places[joint] = root if parent < 0 else places[parent] + world[parent].numpy() @ offset
    turns = torch.from_numpy(rotations())
    expected = body(shape(), turns[:, 1:], turns[:, 0]).joints24.numpy() + translation()[:, None]
    found = np.stack([places[joint] for joint in order], axis=1)
    np.testing.assert_allclose(found, 100 * y_up(expected), atol=2e-3)


def names():
    sides = ("Left", "Right")
    pairs = [[f"{side}{limb}" for side in sides] for limb in ("UpLeg", "Leg", "Foot", "ToeBase")]
    arms = ("Shoulder", "Arm", "ForeArm", "Hand", "HandMiddle1")
    upper = [[f"{side}{limb}" for side in sides] for limb in arms]
    return [
        *("Hips", *pairs[0], "Spine", *pairs[1], "Spine1", *pairs[2], "Spine2", *pairs[3]),
        *("Neck", *upper[0], "Head", *upper[1], *upper[2], *upper[3], *upper[4]),
    ]


def test_the_tool_gets_the_rotations_from_the_bvh(stem):
    bvh = read_bvh(stem.parent / "person.1.bvh")
    found = retarget(bvh, rig().joints).numpy()
    expected = rotations().astype(np.float64)
    expected[:, 0] = y_up(np.eye(3)) @ expected[:, 0]
    # Toes and hands lie straight there.
    kept = [joint for joint in range(24) if joint not in (10, 11, 22, 23)]
    np.testing.assert_allclose(found[:, kept], expected[:, kept], atol=1e-5)


def test_amass_fields_give_the_body_back(stem, body):
    file = np.load(stem.parent / "person.1_amass.npz")
    assert sorted(file.files) == ["betas", "gender", "mocap_framerate", "poses", "trans"]
    assert file["poses"].shape == (FRAMES, 156)
    assert file["betas"].shape == (16,)
    assert str(file["gender"]) == "neutral"
    assert float(file["mocap_framerate"]) == pytest.approx(RATE)
    assert not file["poses"][:, 66:].any()
    # As whoever has SMPL reads it: the body of these numbers, moved by trans, z up.
    vectors = torch.from_numpy(file["poses"][:, :66]).float().view(-1, 22, 3)
    turns = axis_angle_to_matrix(torch.cat([vectors, torch.zeros(FRAMES, 2, 3)], dim=1))
    betas = torch.from_numpy(file["betas"][None, :10]).float()
    out = body(betas, turns[:, 1:], turns[:, 0])
    pelvis = (body.J_regressor @ (body.v_template + body.shapedirs @ betas[0]))[0]
    found = out.vertices.numpy() + pelvis.numpy() + file["trans"][:, None]
    straight = rotations().copy()
    straight[:, 22:] = np.eye(3)
    expected = y_up(posed(straight, translation()))
    np.testing.assert_allclose(found @ AMASS_AXES.T, expected, atol=1e-4)


def test_both_go_through_the_tool(stem, tmp_path, rest_joints):
    status = main(["--source", str(stem.parent), "--out", str(tmp_path / "out.npz")])
    assert status == 0
    assert len(read_poses(tmp_path / "out.npz").rotations) > FRAMES
    motion = read_motion(stem.parent / "person.1_amass.npz", rest_joints, RATE)
    expected = rotations()[:, 1:22]
    np.testing.assert_allclose(motion.rotations[:, 1:22], expected, atol=1e-5)
    np.testing.assert_allclose(motion.times, TIMES, atol=1e-6)


def test_missing_frames_are_filled_in():
    kept = np.array([0, 1, 2, 3, 7, 8, 9, 10, 11])
    rate, turns, moves = even_frames(
        TIMES[kept], rotations()[kept].astype(np.float64), translation()[kept]
    )
    assert rate == pytest.approx(RATE)
    assert len(turns) == len(moves) == FRAMES
    np.testing.assert_allclose(turns[kept], rotations()[kept], atol=1e-5)
    # Every joint turns about one axis at one speed: between, too, it is where it was.
    np.testing.assert_allclose(moves, translation(), atol=1e-5)
    between = Rotation.from_matrix(rotations()[3].astype(np.float64)).inv() * Rotation.from_matrix(
        rotations()[7].astype(np.float64)
    )
    half = Rotation.from_matrix(rotations()[3].astype(np.float64)) * Rotation.from_rotvec(
        between.as_rotvec() / 2
    )
    np.testing.assert_allclose(turns[5], half.as_matrix(), atol=1e-5)


def test_a_motion_of_one_frame(tmp_path):
    write_motion(rig(), tmp_path / "one", TIMES[:1], rotations()[:1], translation()[:1])
    assert read_bvh(tmp_path / "one.bvh").frame_time == pytest.approx(1 / STILL_RATE)
    assert np.load(tmp_path / "one_amass.npz")["poses"].shape == (1, 156)


def test_times_that_do_not_grow(tmp_path):
    with pytest.raises(InputError, match="they do not grow"):
        write_motion(rig(), tmp_path / "no", TIMES[::-1], rotations(), translation())
    assert not list(tmp_path.iterdir())


def test_curves_have_no_jumps():
    """A joint that bends by more than a right angle passes where Euler angles flip."""
    bend = np.linspace(0.3, 400.3, 201)[:, None]
    turns = Rotation.from_euler("ZXY", np.hstack([bend / 4, bend, bend / 8]), degrees=True)
    angles = euler_angles(turns.as_matrix()[:, None])[:, 0]
    assert np.abs(np.diff(angles, axis=0)).max() < 2.5
    back = Rotation.from_euler("ZXY", angles, degrees=True)
    assert (back.inv() * turns).magnitude().max() < 1e-6


@pytest.mark.filterwarnings("error")
def test_right_angles():
    turns = Rotation.from_euler("ZXY", [[30, 90, 20], [10, -90, 0]], degrees=True)
    back = Rotation.from_euler("ZXY", euler_angles(turns.as_matrix()[:, None])[:, 0], degrees=True)
    assert (back.inv() * turns).magnitude().max() < 1e-6
