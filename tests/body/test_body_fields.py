"""Fields of a body: read right in every layout, refused by name when wrong."""

import numpy as np
import pytest
from body_samples import smpl_arrays

from bilayer_graph.body import BodyModel, read_body_file
from bilayer_graph.body.body_file import BUILTIN_BODY
from bilayer_graph.errors import InputError

SMALL = smpl_arrays() | {"keypoint_regressor": np.full((17, 60), 1 / 60)}
FLOATS = [name for name, array in SMALL.items() if array.dtype.kind == "f"]
BUILTIN = dict(np.load(BUILTIN_BODY))
LEVELS = [name for name in BUILTIN if name.startswith(("level_", "up_"))]


def read(tmp_path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    np.savez(tmp_path / "body.npz", **arrays)
    return read_body_file(tmp_path / "body.npz")


def both_refuse(tmp_path, arrays: dict[str, np.ndarray], problem: str) -> None:
    with pytest.raises(InputError, match=rf"^body=.*{problem}"):
        read(tmp_path, arrays)
    with pytest.raises(InputError, match=rf"^arrays=\[.*{problem}"):
        BodyModel(arrays)


@pytest.mark.parametrize("field", sorted(SMALL))
@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda array: array.astype(array.dtype.newbyteorder(">")),
        lambda array: np.repeat(array, 2, 0)[::2],
    ],
    ids=["Fortran", "big endian", "strided"],
)
def test_every_layout_is_read_right(tmp_path, field: str, layout):
    found = read(tmp_path, SMALL | {field: layout(SMALL[field])})[field]
    expected = read(tmp_path, SMALL)[field]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert found.flags.c_contiguous


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f2", ">f4"])
@pytest.mark.parametrize("field", FLOATS)
def test_every_precision_is_read_right(tmp_path, field: str, kind: str):
    found = read(tmp_path, SMALL | {field: SMALL[field].astype(kind)})[field]
    np.testing.assert_array_equal(found, SMALL[field].astype(kind))
    assert found.dtype == (np.float64 if kind == "f8" else np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("field", FLOATS)
def test_numbers_that_are_not_finite(tmp_path, field: str, value: float):
    array = SMALL[field].copy()
    array.flat[array.size // 2] = value
    both_refuse(tmp_path, SMALL | {field: array}, f"the field {field} holds NaN or infinity")


@pytest.mark.parametrize("field", ["J_regressor", "weights", "keypoint_regressor"])
@pytest.mark.parametrize(("factor", "total"), [(0.0, "0,"), (1.2, "1.2"), (1000.0, r"1e\+03")])
def test_rows_that_are_no_means(tmp_path, field: str, factor: float, total: str):
    array = SMALL[field].copy()
    array[3] *= factor
    both_refuse(tmp_path, SMALL | {field: array}, f"row 3 of the field {field} sums to {total}")


@pytest.mark.parametrize(
    ("factor", "problem"),
    [
        (1000, r"seems to be in millimetres\. Divide .* by 1000"),
        (100, r"seems to be in centimetres\. Divide .* by 100\."),
        (0.001, r"no human body in metres\. Give"),
        (0, "spans 0, which is no human body"),
    ],
)
def test_a_body_in_other_units(tmp_path, factor: float, problem: str):
    arrays = BUILTIN | {"v_template": BUILTIN["v_template"] * np.float32(factor)}
    both_refuse(tmp_path, arrays, problem)


@pytest.mark.parametrize("field", ["shapedirs", "posedirs"])
def test_directions_in_other_units(tmp_path, field: str):
    problem = rf"the field {field} moves vertices by more than 10\.0 m"
    both_refuse(tmp_path, SMALL | {field: SMALL[field] * 1000}, problem)


@pytest.mark.parametrize("field", sorted(SMALL))
@pytest.mark.parametrize(
    "spoil",
    [
        lambda array: array[0],
        lambda array: array[None],
        lambda array: array.flat[0],
        lambda array: array[:0],
        lambda array: array > 0,
        lambda array: array * 1j,
        lambda array: array.astype("U8"),
    ],
    ids=["row", "extra", "scalar", "empty", "bool", "complex", "text"],
)
def test_fields_of_no_use(tmp_path, field: str, spoil):
    with pytest.raises(InputError, match=r"^body=.*the field \w+ (is|has)"):
        read(tmp_path, SMALL | {field: spoil(SMALL[field])})
    with pytest.raises(InputError, match=r"^arrays=.*the field \w+ is"):
        BodyModel(SMALL | {field: spoil(SMALL[field])})


@pytest.mark.parametrize("root", [-1, 0, 2**16 - 1, 2**32 - 1, 2**63 - 1])
def test_the_root_has_no_parent(tmp_path, root: int):
    table = SMALL["kintree_table"].astype(np.int64)
    table[0, 0] = root
    assert read(tmp_path, SMALL | {"kintree_table": table})["kintree_table"][0, 0] == -1
    assert BodyModel(SMALL | {"kintree_table": table}).parents[0] == -1


@pytest.mark.parametrize(
    ("joint", "parent"), [(0, 5), (3, 3), (3, 4), (5, -1), (5, 24), (23, 2**40), (1, 2**32 - 1)]
)
def test_joints_whose_parent_is_not_there(tmp_path, joint: int, parent: int):
    table = SMALL["kintree_table"].astype(np.int64)
    table[0, joint] = parent
    both_refuse(tmp_path, SMALL | {"kintree_table": table}, "kintree_table has a joint before")


def test_joints_in_another_order(tmp_path):
    table = SMALL["kintree_table"].copy()
    table[1] = table[1, ::-1]
    both_refuse(tmp_path, SMALL | {"kintree_table": table}, "numbers the joints in another order")


@pytest.mark.parametrize("index", [-1, 60, 2**40])
def test_faces_that_name_no_vertex(tmp_path, index: int):
    faces = SMALL["f"].astype(np.int64)
    faces[4, 1] = index
    both_refuse(tmp_path, SMALL | {"f": faces}, "the field f names a vertex beyond 60")


@pytest.mark.parametrize("field", ["f", "kintree_table"])
@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_indices_that_are_no_whole_numbers(tmp_path, field: str, kind: type):
    both_refuse(tmp_path, SMALL | {field: SMALL[field] % 60 * kind(1)}, f"{field} holds float")


@pytest.mark.parametrize("field", LEVELS)
def test_levels_that_lack_a_field(tmp_path, field: str):
    arrays = {name: array for name, array in BUILTIN.items() if name != field}
    both_refuse(tmp_path, arrays, f"lacks the field {field}")


@pytest.mark.parametrize("field", LEVELS)
def test_levels_that_are_wrong(tmp_path, field: str):
    array = BUILTIN[field]
    wrong = {"short": array[:, :-1] if array.ndim > 1 else array[:-1], "flat": array.reshape(-1, 1)}
    if field.endswith("_weight"):
        wrong |= {"zero": array * 0, "whole": np.ones_like(array, dtype=int)}
    else:
        far, negative = array.astype(np.int64), array.astype(np.int64)
        far[-1], negative[-1] = 6890, -1
        wrong |= {"far": far, "negative": negative, "float": array.astype(np.float32)}
    for changed in wrong.values():
        both_refuse(tmp_path, BUILTIN | {field: changed}, f"the field {field}")


def test_levels_that_name_a_vertex_twice(tmp_path):
    kept = BUILTIN["level_431_vertices"].copy()
    kept[0] = kept[1]
    both_refuse(tmp_path, BUILTIN | {"level_431_vertices": kept}, "names a vertex twice")


def test_levels_of_another_body(tmp_path):
    levels = {name: BUILTIN[name] for name in LEVELS}
    both_refuse(tmp_path, SMALL | levels, "does not follow from a mesh of 60 vertices")


def test_some_levels_or_none_are_enough(tmp_path):
    coarse = {name: array for name, array in BUILTIN.items() if "431" not in name}
    assert "level_1723_faces" in read(tmp_path, coarse)
    none = {name: array for name, array in BUILTIN.items() if name not in LEVELS}
    assert not BodyModel(read(tmp_path, none)).level_arrays


def test_levels_in_double_precision_build_the_same_template(tmp_path):
    weight = "up_431_to_1723_weight"
    body = BodyModel(read(tmp_path, BUILTIN | {weight: BUILTIN[weight].astype(np.float64)}))
    assert body.level_arrays[weight].dtype == body.v_template.dtype


@pytest.mark.parametrize("arrays", [None, 5, [1]])
def test_what_is_no_mapping(arrays: object):
    with pytest.raises(InputError, match=r"^arrays=.*not a mapping"):
        BodyModel(arrays)
