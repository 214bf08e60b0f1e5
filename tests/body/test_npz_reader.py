"""Archives that are no body: bombs, broken containers, members that are no arrays."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from body_samples import smpl_arrays

from bilayer_graph.body import read_body_file
from bilayer_graph.errors import InputError

VERTICES = smpl_arrays()["v_template"]
HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (60, 3), }"


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def member(header: str, content: bytes = VERTICES.tobytes(), version: int = 1) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + content


def write(path, changes: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    members = {f"{name}.npy": npy(array) for name, array in smpl_arrays().items()} | changes
    with zipfile.ZipFile(path, "w", method) as content:
        for name, data in members.items():
            content.writestr(name, data)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "body.npz"


@pytest.mark.parametrize("name", ["BODY.PKL", "body.pickle", "body.npz", "body"])
def test_a_pickle_is_one_whatever_its_name(tmp_path, name: str):
    (tmp_path / name).write_bytes(pickle.dumps(smpl_arrays()))
    np.testing.assert_array_equal(read_body_file(tmp_path / name)["v_template"], VERTICES)


@pytest.mark.parametrize("name", ["body.pkl", "BODY.NPZ", "body"])
def test_an_archive_is_one_whatever_its_name(tmp_path, name: str):
    write(tmp_path / name, {})
    np.testing.assert_array_equal(read_body_file(tmp_path / name)["v_template"], VERTICES)


@pytest.mark.parametrize(
    ("header", "version"),
    [(HEADER, 1), (HEADER, 2), (HEADER, 3), (HEADER.replace("60, 3", "60L, 3L"), 1)],
)
def test_headers_of_other_writers(path, header: str, version: int):
    write(path, {"v_template.npy": member(header, version=version)})
    np.testing.assert_array_equal(read_body_file(path)["v_template"], VERTICES)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (member(HEADER.replace("60, 3", "1000000000000,")), "claims more than"),
        (member(HEADER.replace("60, 3", "0, " + "9" * 30)), "claims more than"),
        (member(HEADER.replace("60, 3", "-60, -3")), "negative shape"),
        (member(HEADER.replace("60, 3", ", ".join("1" * 99))), "has a shape that no field"),
        (member(HEADER.replace("60, 3", "print(1)")), "is no array"),
        (member(HEADER.replace("<f8", "|O")), "not numeric"),
        (member(HEADER.replace("<f8", "<c16")), "not numeric"),
        (member(HEADER.replace("'<f8'", "[('a', '<f8')]")), "not numeric"),
        (member(HEADER + " " * 10_000, version=2), "header too long"),
        (member("(" * 4000), "is no array"),
        (member(HEADER, version=9), "is no array"),
        (member(HEADER, VERTICES.tobytes()[:-1]), "not a readable .npz file"),
        (member(HEADER, VERTICES.tobytes() + b"x"), "more bytes than its shape"),
        (member(HEADER, bytes(50_000_000)), "more bytes than its shape"),
        (member(HEADER.replace("60, 3", "33000000, 3"), b""), "claims more than"),
        (npy(np.array(["a"] * 3)), "not numeric"),
        (npy(np.longdouble(VERTICES)), "not numeric"),
        (npy(VERTICES > 0), "not numeric"),
        (pickle.dumps(VERTICES), "is no array"),
        (b"PK\3\4 an archive", "is no array"),
        (b"", "is no array"),
    ],
)
def test_members_that_are_no_arrays(path, content: bytes, problem: str):
    write(path, {"v_template.npy": content})
    with pytest.raises(InputError, match=rf"^body=.*{problem}.*\. Give a file"):
        read_body_file(path)


def test_fields_that_only_together_are_too_large(path):
    part = member(HEADER.replace("60, 3", "4000000, 3").replace("f8", "i1"), bytes(12_000_000))
    write(path, {f"level_{size}_faces.npy": part for size in range(3)})
    with pytest.raises(InputError, match="brings the body to more than"):
        read_body_file(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_numpy_does_not_write(path, method: int):
    write(path, {}, method)
    with pytest.raises(InputError, match="an unknown compression"):
        read_body_file(path)


@pytest.mark.parametrize(
    ("local", "central", "value"), [(6, 8, 1), (8, 10, 99), (4, 6, 255)], ids=["key", "method", "v"]
)
def test_archives_that_zipfile_cannot_open(path, local: int, central: int, value: int):
    write(path, {})
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\3\4") + local] |= value
    content[content.find(b"PK\1\2") + central] |= value
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a readable \.npz file"):
        read_body_file(path)


def test_a_damaged_number_is_noticed(path):
    write(path, {}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.find(VERTICES.tobytes()) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a readable \.npz file.*CRC"):
        read_body_file(path)


@pytest.mark.parametrize("count", [30_000, 70_000])
def test_too_many_members(path, count: int):
    record = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *[0] * 18) + b"aaaa"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[count & 0xFFFF] * 2, count * 50, 0, 0)
    path.write_bytes(b"PK" + record * count + end)
    with pytest.raises(InputError, match="too many members"):
        read_body_file(path)


def test_a_field_that_is_there_twice(path):
    write(path, {"f": npy(smpl_arrays()["f"])})
    with pytest.raises(InputError, match="holds the field f twice"):
        read_body_file(path)


def test_other_paths(tmp_path):
    np.save(tmp_path / "body.npy", VERTICES)
    (tmp_path / "body.npy").rename(tmp_path / "body.npz")
    with pytest.raises(InputError, match="a single array"):
        read_body_file(tmp_path / "body.npz")
    with pytest.raises(InputError, match="a folder"):
        read_body_file(tmp_path)
    with pytest.raises(InputError, match="not a readable file"):
        read_body_file(tmp_path / ("x" * 5000))
    with pytest.raises(InputError, match="not a path"):
        read_body_file(None)
    with (tmp_path / "huge.pkl").open("wb") as stream:
        os.truncate(stream.fileno(), 2**34)
    with pytest.raises(InputError, match="larger than 512 MiB"):
        read_body_file(tmp_path / "huge.pkl")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_never_ends_in_a_traceback(path, method: int):
    write(path, {"f.npy": npy(np.zeros((0, 3), int))}, method)
    whole = path.read_bytes()
    random = np.random.default_rng(method)
    for _ in range(60):
        content = bytearray(whole)
        ends = np.concatenate([np.arange(200), np.arange(len(content) - 600, len(content))])
        for place in random.choice(ends, 4):
            content[place] = random.integers(256)
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"^body="):
            read_body_file(path)
