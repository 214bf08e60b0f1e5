import codecs
import os
import pickle
import struct
import sys
import types

import numpy as np
import pytest
import scipy.sparse
from body_samples import smpl_arrays

from bilayer_graph.body import BodyModel, read_body_file
from bilayer_graph.errors import InputError


def assert_same_body(found: dict[str, np.ndarray]) -> None:
    for name, array in smpl_arrays().items():
        if name != "kintree_table":
            np.testing.assert_array_equal(found[name], array)
    assert found["kintree_table"][0, 0] == -1
    assert found["f"].dtype == np.int64


def test_npz_is_read(tmp_path):
    np.savez(tmp_path / "body.npz", **smpl_arrays(), note=np.array([object()], object))
    assert_same_body(read_body_file(tmp_path / "body.npz"))
    assert BodyModel.load(tmp_path / "body.npz").v_template.shape == (60, 3)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("layout", ["csc", "csr"])
def test_pickle_is_read(tmp_path, protocol: int, layout: str):
    arrays = smpl_arrays() | {"bs_style": "lbs"}
    arrays["J_regressor"] = getattr(scipy.sparse, f"{layout}_matrix")(arrays["J_regressor"])
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(arrays, protocol))
    assert_same_body(read_body_file(tmp_path / "body.pkl"))


def foreign(monkeypatch, module: str, name: str, **state):
    """An object of a class that only exists while the pickle is written."""
    kind = type(name, (), {"__module__": module})
    for depth in range(1, module.count(".") + 2):
        part = ".".join(module.split(".")[:depth])
        fake = types.ModuleType(part)
        setattr(fake, name, kind)
        monkeypatch.setitem(sys.modules, part, fake)
    instance = kind()
    instance.__dict__.update(state)
    return instance


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_chumpy_and_old_scipy_are_read_without_the_packages(tmp_path, monkeypatch, protocol: int):
    arrays = smpl_arrays()
    joints = scipy.sparse.csc_matrix(arrays["J_regressor"])
    stored = {"data": joints.data, "indices": joints.indices, "indptr": joints.indptr}
    with monkeypatch.context() as patch:
        shapes = foreign(patch, "chumpy.ch", "Ch", x=arrays["shapedirs"], _dirty_vars={"x"})
        template = foreign(
            patch,
            "chumpy.reordering",
            "Select",
            a=np.flip(arrays["v_template"]),
            idxs=np.arange(180)[::-1],
            preferred_shape=(60, 3),
        )
        sparse = foreign(patch, "scipy.sparse.csc", "csc_matrix", _shape=(24, 60), **stored)
        pickled = arrays | {"J_regressor": sparse, "shapedirs": shapes, "v_template": template}
        (tmp_path / "body.pkl").write_bytes(pickle.dumps(pickled, protocol))
    assert_same_body(read_body_file(tmp_path / "body.pkl"))


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Getter:
    def __reduce__(self):
        return getattr, (np.ndarray, "tofile")


@pytest.mark.parametrize("field", ["v_template", "note"])
def test_pickle_with_code_is_refused_before_it_runs(tmp_path, field: str):
    bait = tmp_path / "ran"
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(smpl_arrays() | {field: Touch(bait)}))
    with pytest.raises(InputError, match=r"system.*allow-list"):
        read_body_file(tmp_path / "body.pkl")
    assert not bait.exists()


def test_pickle_with_another_class_is_refused(tmp_path):
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(smpl_arrays() | {"note": Getter()}))
    with pytest.raises(InputError, match=r"builtins\.getattr.*allow-list"):
        read_body_file(tmp_path / "body.pkl")


class Encoder:
    def __reduce__(self):
        return codecs.encode, ("text", "rot13")


def test_only_the_codec_of_old_pickles_is_called(tmp_path):
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(smpl_arrays() | {"note": Encoder()}))
    with pytest.raises(InputError, match="encoding rot13"):
        read_body_file(tmp_path / "body.pkl")


def test_pickle_of_something_else(tmp_path):
    (tmp_path / "body.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(InputError, match="not a dictionary"):
        read_body_file(tmp_path / "body.pkl")


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_truncated_file(tmp_path, suffix: str):
    path = tmp_path / f"body{suffix}"
    if suffix == ".npz":
        np.savez(path, **smpl_arrays())
    else:
        path.write_bytes(pickle.dumps(smpl_arrays()))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="not a readable"):
        read_body_file(path)


def test_damaged_member_of_npz(tmp_path):
    path = tmp_path / "body.npz"
    np.savez_compressed(path, **smpl_arrays())
    content = bytearray(path.read_bytes())
    name_length, extra_length = struct.unpack("<HH", content[26:30])
    start = 30 + name_length + extra_length
    content[start + 200 : start + 400] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable"):
        read_body_file(path)


@pytest.mark.parametrize("text", [b"", b"not a body"])
@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_other_files(tmp_path, text: bytes, suffix: str):
    path = tmp_path / f"body{suffix}"
    path.write_bytes(text)
    with pytest.raises(InputError, match="not a readable"):
        read_body_file(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.npz.*no such file.*built-in body"):
        read_body_file(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("field", sorted(set(smpl_arrays()) - {"posedirs"}))
def test_missing_field_is_named(tmp_path, field: str):
    arrays = smpl_arrays()
    del arrays[field]
    np.savez(tmp_path / "body.npz", **arrays)
    with pytest.raises(InputError, match=rf"lacks the field {field}\."):
        read_body_file(tmp_path / "body.npz")


@pytest.mark.parametrize(
    ("field", "array", "problem"),
    [
        ("weights", np.ones((60, 52)), r"weights is \(60, 52\), not 60 x 24"),
        ("J_regressor", np.ones((24, 61)), "J_regressor"),
        ("shapedirs", np.ones((60, 3, 4)), "fewer than 10"),
        ("shapedirs", np.ones((60, 30)), "shapedirs is"),
        ("v_template", np.full((60, 3), np.nan), "NaN"),
        ("v_template", np.array([["a"] * 3] * 60), "not numeric"),
        ("f", np.full((4, 3), 60), "beyond"),
        ("kintree_table", np.zeros((2, 24), np.int64) + 23, "before its parent"),
        ("keypoint_regressor", np.ones((19, 60)), "not 17 x 60"),
    ],
)
def test_wrong_field_is_named(tmp_path, field: str, array: np.ndarray, problem: str):
    np.savez(tmp_path / "body.npz", **(smpl_arrays() | {field: array}))
    with pytest.raises(InputError, match=problem):
        read_body_file(tmp_path / "body.npz")
