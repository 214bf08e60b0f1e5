from itertools import permutations

import numpy as np
import pytest
import torch
from bvh import read_bvh, rest_positions, world_rotations
from bvh_samples import T_POSE, Person
from joint_names import TABLES
from scipy.spatial.transform import Rotation

from bilayer_graph.errors import InputError

SMALL = """HIERARCHY
ROOT Hips
{
  OFFSET 0 1 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Chest
  {
    OFFSET 0 2 0
    CHANNELS 3 Yrotation Zrotation Xrotation
    End Site
    {
      OFFSET 0 3 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0083333
0 0 0 10 20 30 40 50 60
0 1 0 -10 200 3e1 0 0 0
"""


@pytest.mark.parametrize("order", ["".join(order) for order in permutations("XYZ")])
def test_angles_compose_as_scipys_intrinsic_rotations(tmp_path, order: str):
    person = Person(TABLES["Mixamo"], T_POSE, order)
    angles = person.random_angles(4, 180)
    bvh = read_bvh(person.write(tmp_path / "a.bvh", angles))
    world = world_rotations(bvh, range(len(bvh.names)), slice(None))
    for joint, expected in person.world(angles).items():
        found = world[bvh.names.index(person.names[joint])]
        np.testing.assert_allclose(found.numpy(), expected.as_matrix(), atol=1e-9)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("positions", [False, True])
def test_layout_does_not_matter(tmp_path, newline: str, positions: bool):
    plain = Person(TABLES["Mixamo"], T_POSE)
    angles = plain.random_angles(3, 90)
    expected = read_bvh(plain.write(tmp_path / "a.bvh", angles))
    other = Person(TABLES["Mixamo"], T_POSE, positions=positions, newline=newline)
    found = read_bvh(other.write(tmp_path / "b.bvh", angles))
    assert found.names == expected.names
    assert found.parents == expected.parents
    torch.testing.assert_close(rest_positions(found), rest_positions(expected))
    turns = [world_rotations(bvh, range(20), slice(1, None)) for bvh in (found, expected)]
    assert turns[0].keys() == turns[1].keys()
    torch.testing.assert_close(list(turns[0].values()), list(turns[1].values()))


def test_by_hand(tmp_path):
    (tmp_path / "a.bvh").write_text(SMALL)
    bvh = read_bvh(tmp_path / "a.bvh")
    assert bvh.names == ("Hips", "Chest")
    assert bvh.parents == (-1, 0)
    assert bvh.frame_time == pytest.approx(1 / 120, rel=1e-4)
    assert rest_positions(bvh).tolist() == [[0, 1, 0], [0, 3, 0]]
    chest = world_rotations(bvh, [1], slice(0, 1))[1][0]
    turn = Rotation.from_euler("ZXY", [10, 20, 30], degrees=True)
    turn = turn * Rotation.from_euler("YZX", [40, 50, 60], degrees=True)
    np.testing.assert_allclose(chest.numpy(), turn.as_matrix(), atol=1e-12)


def test_braces_on_one_line_and_rows_that_wrap(tmp_path):
    text = (
        SMALL.replace("\n{", " {").replace("10 20 30 40", "10 20\n30 40").replace("JOINT", "joint")
    )
    (tmp_path / "a.bvh").write_text("\ufeff" + text, encoding="utf-8")
    (tmp_path / "b.bvh").write_text(SMALL)
    found, expected = read_bvh(tmp_path / "a.bvh"), read_bvh(tmp_path / "b.bvh")
    torch.testing.assert_close(found.motion, expected.motion)
    assert found.names == expected.names


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "30 40 50 60\n0 1 0 -10 200 3e1 0 0 0\n",
            "30 40 5",
            r"8 numbers, 0\.9 of 2 frames of 9.*cut",
        ),
        ("0 0 0\n", "0 0 0 7\n", "19 numbers"),
        ("3e1", "abc", "abc"),
        ("3e1", "nan", "frame 1 has NaN"),
        ("Frames: 2", "Frames: 0", "0 frames"),
        ("Frames: 2", "Frames: many", "Frames: and Frame Time:"),
        ("0.0083333", "0", "0 s"),
        ("0.0083333", "inf", "inf"),
        ("Frame Time", "Frame", "Frames: and Frame Time:"),
        ("MOTION", "", "0 lines MOTION"),
        ("HIERARCHY", "", "does not begin with HIERARCHY"),
        ("}\nMOTION", "MOTION", "not complete"),
        ("}\nMOTION", "}}\nMOTION", "the word }"),
        ("OFFSET 0 2 0", "OFFSET 0 2", "CHANNELS"),
        ("OFFSET 0 2 0", "OFFSET 0 nan 0", "nan"),
        ("Yrotation Zrotation Xrotation", "Yrotation Zrotation Wrotation", "Chest.*wrotation"),
        ("CHANNELS 3", "CHANNELS x", "'x'"),
        ("JOINT Chest", "ROOT Chest", "a ROOT stands"),
        ("ROOT Hips", "JOINT Hips", "a JOINT stands"),
        ("JOINT Chest", "LIMB Chest", "LIMB"),
    ],
)
def test_what_is_no_bvh_is_named(tmp_path, old: str, new: str, problem: str):
    assert SMALL.count(old) >= 1
    (tmp_path / "a.bvh").write_text(SMALL.replace(old, new, 1))
    with pytest.raises(InputError, match=rf"(?s)a\.bvh: not readable: .*{problem}.*complete BVH"):
        read_bvh(tmp_path / "a.bvh")


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe binary", SMALL[:60].encode()])
def test_other_files(tmp_path, content: bytes):
    (tmp_path / "a.bvh").write_bytes(content)
    with pytest.raises(InputError, match="not readable"):
        read_bvh(tmp_path / "a.bvh")


def test_every_cut_is_an_error(tmp_path):
    text = SMALL.rstrip()
    for length in range(len(text) - 1):
        (tmp_path / "a.bvh").write_text(text[:length])
        with pytest.raises(InputError):
            read_bvh(tmp_path / "a.bvh")


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.bvh"):
        read_bvh(tmp_path / "nowhere.bvh")
