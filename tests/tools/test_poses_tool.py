import numpy as np
import poses
import pytest
import torch
from bvh import read_bvh
from bvh_samples import T_POSE, Person
from joint_names import TABLES
from retarget import retarget
from scipy.spatial.transform import Rotation

from bilayer_graph.synthetic.motion import read_poses


def run(source, out, *words):
    return poses.main(["--source", str(source), "--out", str(out), *words])


def smooth_angles(person, frames):
    """A slow swing of all joints; frame 0 is the T-pose that the CMU conversions put first."""
    swing = np.sin(np.linspace(0, 5, frames))[:, None, None]
    return swing * person.random_angles(1, 40)


def joints_in_pelvis_axes(body, rotations):
    eye = torch.eye(3).expand(len(rotations), 3, 3)
    return body(torch.zeros(len(rotations), 10), rotations[:, 1:].float(), eye).joints24


@pytest.fixture
def person():
    return Person(TABLES["CMU for Daz"], T_POSE)


def test_bvh_becomes_a_file_that_the_reader_reads(tmp_path, body, rest_joints, person):
    angles = smooth_angles(person, 121)
    path = person.write(tmp_path / "cmu" / "01" / "01_01.bvh", angles)
    assert run(tmp_path / "cmu", tmp_path / "new" / "poses.npz") == 0

    with np.load(tmp_path / "new" / "poses.npz", allow_pickle=False) as content:
        assert sorted(content.files) == ["clip", "fps", "poses", "time"]
        assert content["poses"].dtype == np.float16
        assert content["fps"] == 60
        times = content["time"]
    found = read_poses(tmp_path / "new" / "poses.npz")
    assert set(found.clips) == {"01_01"}
    assert 10 < len(found.rotations) < 60

    # 120 frames a second become 60; the T-pose in front is no part of the recording.
    every = retarget(read_bvh(path), rest_joints)[1::2]
    frames = np.rint(times * 60).astype(int)
    np.testing.assert_allclose(frames / 60, times, atol=1e-4)
    turn = Rotation.from_matrix(found.rotations.flatten(0, 1).numpy()).inv()
    turn = turn * Rotation.from_matrix(every[frames].flatten(0, 1).numpy())
    assert turn.magnitude().max() < 2e-3  # half precision

    # A frame is kept exactly when the body's own joints have moved by more than the distance.
    joints = joints_in_pelvis_axes(body, every)
    last = 0
    for frame in range(1, len(joints)):
        moved = (joints[frame] - joints[last]).norm(dim=-1).mean()
        assert (frame in frames) == bool(moved > 0.012)
        last = frame if frame in frames else last


def test_distance_and_fps(tmp_path, person):
    person.write(tmp_path / "in" / "a.bvh", smooth_angles(person, 121))
    counts = {}
    for words in [("--distance", "0"), ("--distance", "0.05"), ("--distance", "0", "--fps", "30")]:
        assert run(tmp_path / "in", tmp_path / "poses.npz", *words) == 0
        counts[words] = len(read_poses(tmp_path / "poses.npz").clips)
    assert list(counts.values())[::2] == [60, 30]
    assert 1 < counts["--distance", "0.05"] < 30


def test_still_person_is_one_pose_wherever_he_turns(tmp_path, person):
    angles = np.zeros((50, len(person.joints), 3))
    angles[:, 0, 2] = np.linspace(0, 300, 50)
    person.write(tmp_path / "in" / "a.bvh", angles)
    assert run(tmp_path / "in", tmp_path / "poses.npz") == 0
    assert len(read_poses(tmp_path / "poses.npz").clips) == 1


def test_one_frame_alone_is_kept(tmp_path, person):
    person.write(tmp_path / "in" / "a.bvh", person.random_angles(1, 30))
    assert run(tmp_path / "in", tmp_path / "poses.npz") == 0
    assert len(read_poses(tmp_path / "poses.npz").clips) == 1


def test_amass_file_is_turned_from_z_up(tmp_path, body):
    random = np.random.default_rng(0)
    vectors = np.concatenate([random.normal(0, 0.4, (6, 66)), np.full((6, 90), 0.3)], 1)
    upright = Rotation.from_euler("x", 90, degrees=True)  # a T-pose that stands, z up
    vectors[:, :3] = (upright * Rotation.from_rotvec(vectors[:, :3])).as_rotvec()
    folder = tmp_path / "in" / "ACCAD" / "subject"
    folder.mkdir(parents=True)
    np.savez(folder / "walk_poses.npz", poses=vectors, mocap_framerate=30.0, gender="female")
    np.savez(folder / "shape.npz", betas=np.zeros(16))
    np.savez(folder / "neutral_stagei.npz", betas=np.zeros(16))
    assert run(tmp_path / "in", tmp_path / "poses.npz") == 0

    found = read_poses(tmp_path / "poses.npz")
    assert found.clips == ("walk_poses",) * 6
    turns = Rotation.from_rotvec(vectors[:, :66].reshape(-1, 3)).as_matrix().reshape(6, 22, 3, 3)
    raw = torch.tensor(np.concatenate([turns, np.tile(np.eye(3), (6, 2, 1, 1))], 1)).float()
    shape = torch.zeros(6, 10)
    in_z_up = body(shape, raw[:, 1:], raw[:, 0]).joints24
    in_y_up = body(shape, found.rotations[:, 1:], found.rotations[:, 0]).joints24
    x, y, z = in_z_up.unbind(-1)
    torch.testing.assert_close(in_y_up, torch.stack([x, z, -y], -1), atol=2e-3, rtol=0)


def test_one_bad_file_is_named_and_the_others_are_used(tmp_path, person, capsys):
    source = tmp_path / "in"
    person.write(source / "good.bvh", person.random_angles(20, 30))
    path = person.write(source / "cut.bvh", person.random_angles(20, 30))
    path.write_bytes(path.read_bytes()[:-100])
    other = Person({joint: f"bone {joint}" for joint in person.names}, T_POSE)
    other.write(source / "alien.BVH", other.random_angles(20, 30))
    (source / "text.npz").write_text("no archive")
    np.savez(source / "object.npz", poses=np.array([object()], object))
    assert run(source, tmp_path / "poses.npz") == 1
    assert set(read_poses(tmp_path / "poses.npz").clips) == {"good"}
    errors = capsys.readouterr().err
    assert "4 of 5 files left out" in errors
    for name in ("cut.bvh", "alien.BVH", "text.npz", "object.npz"):
        assert f"{source / name}: " in errors
    assert "good.bvh" not in errors


def test_nothing_usable_writes_nothing(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.bvh").write_text("")
    assert run(tmp_path / "in", tmp_path / "poses.npz") == 1
    assert not (tmp_path / "poses.npz").exists()
    assert "1 of 1 files left out" in capsys.readouterr().err


def test_files_of_one_name_are_told_apart(tmp_path, person):
    for name in ("a/walk.bvh", "b/walk.bvh", "b/run.bvh"):
        person.write(tmp_path / "in" / name, person.random_angles(3, 30))
    assert run(tmp_path / "in", tmp_path / "in" / "poses.npz") == 0
    assert set(read_poses(tmp_path / "in" / "poses.npz").clips) == {"a/walk", "b/walk", "run"}
    # A second run does not read what the first one wrote.
    assert run(tmp_path / "in", tmp_path / "in" / "poses.npz") == 0


@pytest.mark.parametrize(("folder", "problem"), [("nowhere", "no such folder"), (".", "no .bvh")])
def test_folder_without_motion(tmp_path, capsys, folder: str, problem: str):
    assert run(tmp_path / folder, tmp_path / "poses.npz") == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--out", "poses.txt"),
        ("--fps", "0"),
        ("--fps", "1e-300"),
        ("--fps", "inf"),
        ("--distance", "-1"),
        ("--distance", "nan"),
        ("--distance", "far"),
    ],
)
def test_wrong_option(tmp_path, capsys, words):
    with pytest.raises(SystemExit):
        run(tmp_path, tmp_path / "poses.npz", *words)
    assert words[0] in capsys.readouterr().err


def test_odd_frame_rates(tmp_path, person):
    for name, frame_time in [("slow", 1.0), ("fast", 1e-7)]:
        person.write(tmp_path / "in" / f"{name}.bvh", person.random_angles(5, 30), frame_time)
    assert run(tmp_path / "in", tmp_path / "poses.npz", "--fps", "0.001") == 0
    assert read_poses(tmp_path / "poses.npz").clips == ("fast", "slow")
