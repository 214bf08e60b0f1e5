import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bilayer_graph.errors import InputError
from bilayer_graph.synthetic import motion
from bilayer_graph.synthetic.motion import read_poses


def vectors(count: int, width: int, dtype=np.float64) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.5, (count, width)).astype(dtype)


def matrices(poses: np.ndarray) -> np.ndarray:
    turns = Rotation.from_rotvec(poses.astype(np.float64).reshape(-1, 3))
    return turns.as_matrix().reshape(len(poses), -1, 3, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize(("width", "shared"), [(66, 22), (72, 24), (156, 22), (165, 22)])
def test_rotations_are_scipys(tmp_path, width: int, shared: int, dtype):
    poses = vectors(7, width, dtype)
    np.savez(tmp_path / "walk.npz", poses=poses)
    found = read_poses(tmp_path / "walk.npz")
    expected = np.tile(np.eye(3), (7, 24, 1, 1))
    expected[:, :shared] = matrices(poses)[:, :shared]
    assert found.rotations.dtype == torch.float32
    np.testing.assert_allclose(found.rotations.numpy(), expected, atol=2e-6)
    assert found.clips == ("walk",) * 7
    assert found.rows.tolist() == list(range(7))
    assert found.fps is None


def test_many_rows_are_as_each_alone(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", poses=vectors(50, 72))
    whole = read_poses(tmp_path / "a.npz").rotations
    monkeypatch.setattr(motion, "_ROWS_AT_ONCE", 7)
    torch.testing.assert_close(read_poses(tmp_path / "a.npz").rotations, whole)


@pytest.mark.parametrize("clip", [["a", "b", "ä"], [b"a", b"b", "ä".encode()]])
@pytest.mark.parametrize("rate", ["fps", "mocap_framerate", "mocap_frame_rate"])
def test_clips_and_frame_rate(tmp_path, clip, rate: str):
    fields = {"poses": vectors(3, 72), "clip": np.array(clip), rate: np.float32(60)}
    note = np.array([object()], object)  # what is not asked for is not read
    np.savez_compressed(tmp_path / "a.npz", **fields, gender=note)
    found = read_poses(tmp_path / "a.npz")
    assert found.clips == ("a", "b", "ä")
    assert found.fps == 60


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_rows_that_are_not_finite_are_left_out(tmp_path, bad: float):
    poses = vectors(6, 72)
    poses[[1, 4], [0, 71]] = bad
    np.savez(tmp_path / "a.npz", poses=poses, clip=np.array(list("abcdef")))
    with pytest.warns(UserWarning, match=r"a\.npz: 2 of 6 rows left out, not finite: 1, 4\."):
        found = read_poses(tmp_path / "a.npz")
    assert found.rows.tolist() == [0, 2, 3, 5]
    assert found.clips == ("a", "c", "d", "f")
    np.testing.assert_allclose(found.rotations, matrices(poses[[0, 2, 3, 5]]), atol=2e-6)


def test_values_beyond_the_body_may_be_anything(tmp_path):
    poses = vectors(2, 156)
    poses[:, 66:] = np.nan
    np.savez(tmp_path / "a.npz", poses=poses)
    assert len(read_poses(tmp_path / "a.npz").rotations) == 2


def standing(count: int, up: str) -> np.ndarray:
    poses = np.zeros((count, 72))
    turn = Rotation.from_euler("y", np.linspace(0, 300, count)[:, None], degrees=True)
    if up == "z":
        turn = Rotation.from_euler("x", 90, degrees=True) * turn
    poses[:, :3] = turn.as_rotvec()
    return poses


def test_z_up_becomes_y_up(tmp_path):
    for up in "yz":
        np.savez(tmp_path / f"{up}.npz", poses=standing(9, up))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = read_poses(tmp_path / "y.npz").rotations
        found = read_poses(tmp_path / "z.npz", up="z").rotations
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("inside", "given"), [("y", "z"), ("z", "y")])
def test_wrong_axis_is_noticed(tmp_path, inside: str, given: str):
    np.savez(tmp_path / "a.npz", poses=standing(9, inside))
    with pytest.warns(UserWarning, match=rf'lie flat.*up="{inside}"'):
        read_poses(tmp_path / "a.npz", up=given)


GOOD = {"poses": np.zeros((3, 72)), "clip": np.array(["a", "b", "c"]), "fps": np.float32(60)}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"poses": None}, "lacks the field poses"),
        ({"poses": np.zeros((3, 75))}, r"poses is \[3, 75\], not N rows of one of 66, 72"),
        ({"poses": np.zeros((0, 72))}, r"poses is \[0, 72\]"),
        ({"poses": np.zeros((3, 24, 3))}, r"poses is \[3, 24, 3\]"),
        ({"poses": np.float32(1)}, r"poses is \[\]"),
        ({"poses": np.zeros((3, 72), int)}, "not floating point"),
        ({"poses": np.zeros((3, 72), complex)}, "not floating point"),
        ({"poses": np.full((3, 72), "a")}, "not floating point"),
        ({"poses": np.full((3, 72), None)}, "not a readable .npz.*allow_pickle=False"),
        ({"poses": np.full((3, 72), np.nan)}, "no pose without NaN"),
        ({"poses": np.full((3, 72), 90.0)}, "turns a joint by 155.9 rad.*radians"),
        ({"clip": np.array(["a", "b"])}, "clip is .* not 3 strings"),
        ({"clip": np.array([1, 2, 3])}, "not 3 strings"),
        ({"clip": np.array([["a"], ["b"], ["c"]])}, "not 3 strings"),
        ({"clip": np.array(["a", "b", None])}, "not a readable"),
        ({"fps": np.float32(0)}, "fps is no positive number"),
        ({"fps": np.float32("nan")}, "fps is no positive number"),
        ({"fps": np.array([60.0, 60.0])}, "fps is no positive number"),
        ({"fps": np.array("fast")}, "fps is no positive number"),
    ],
)
def test_wrong_field_is_named(tmp_path, change: dict, problem: str):
    fields = {name: array for name, array in (GOOD | change).items() if array is not None}
    np.savez(tmp_path / "a.npz", **fields)
    with pytest.raises(InputError, match=rf"a\.npz: .*{problem}"):
        read_poses(tmp_path / "a.npz")


def test_up_is_y_or_z(tmp_path):
    np.savez(tmp_path / "a.npz", **GOOD)
    with pytest.raises(InputError, match=r"up=x.*Give one of y, z"):
        read_poses(tmp_path / "a.npz", up="x")


def test_missing_file_is_named(tmp_path):
    for path in (tmp_path / "nowhere.npz", tmp_path):
        with pytest.raises(InputError, match=r"no such file.*tools/poses\.py"):
            read_poses(path)


@pytest.mark.parametrize("content", [b"", b"not poses", b"\x93NUMPY\x01\x00"])
def test_other_files(tmp_path, content: bytes):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"not an \.npz"):
        read_poses(tmp_path / "a.npz")


def test_single_array_is_no_npz(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 72)))
    with pytest.raises(InputError, match=r"not an \.npz"):
        read_poses(tmp_path / "a.npy")


@pytest.mark.parametrize("filler", [b"\x00", b"\xff", b"\x5a"])
def test_damaged_member(tmp_path, filler: bytes):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, poses=vectors(50, 72))
    content = bytearray(path.read_bytes())
    name_length, extra_length = struct.unpack("<HH", content[26:30])
    start = 30 + name_length + extra_length
    content[start + 200 : start + 400] = 200 * filler
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable"):
        read_poses(path)


def test_member_of_another_kind(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("poses.npy", b"no array")
    with pytest.raises(InputError, match="the field poses is no array"):
        read_poses(tmp_path / "a.npz")


def test_header_that_promises_too_much(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d, 72), }" % 10**14
    header = header.ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(800)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("poses.npy", array)
    with pytest.raises(InputError, match="not a readable"):
        read_poses(tmp_path / "a.npz")


def test_large_field_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", poses=np.zeros((1000, 72)))
    monkeypatch.setattr(motion, "_MAX_BYTES", 100_000)
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(InputError, match=r"the field poses takes .* GiB.*thinned out"):
        read_poses(tmp_path / "a.npz")
