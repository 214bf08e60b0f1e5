"""What the fields of a body must be: shapes, types, indices, rows and units."""

import re
from collections.abc import Mapping

import numpy as np

from bilayer_graph.body.field_error import FieldError
from bilayer_graph.body.joints import SMPL_JOINT_NAMES

REQUIRED = ("v_template", "shapedirs", "J_regressor", "weights", "kintree_table", "f")
OPTIONAL = ("posedirs", "keypoint_regressor", "joint_regressor")
LEVEL_SIZES = (1723, 431)
"""Vertices of the coarser meshes that a body may carry, each made from the one before it."""

_LEVEL = re.compile(r"level_\d+_(vertices|faces)|up_\d+_to_\d+_(index|weight)", re.ASCII)
_ROW_TOLERANCE = 0.1  # fitted regressors are only encouraged to sum to 1
_SMALLEST, _LARGEST = 0.1, 10.0
_MILLIMETRES = 300.0


def check_fields(arrays: Mapping[str, object], joints: int | None = None) -> dict[str, np.ndarray]:
    """Return the fields of a body as new arrays: float32 (float64 stays) and int64, row by row.

    Args:
        arrays: The fields; others are left out.
        joints: Skinning joints that the body must have; as many as its kintree if ``None``.

    Raises:
        FieldError: If a field is missing, of a wrong type or shape, not finite, or names a vertex
            or joint that is not there; or a human body is not in metres. :func:`check_rows` looks
            at the sums of rows.
    """
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise FieldError(f"lacks the field {', '.join(missing)}")
    known = [name for name in arrays if name in REQUIRED + OPTIONAL or is_level(name)]
    fields = {name: _widen(name, arrays[name]) for name in known}
    _check_shapes(fields, joints)
    fields["kintree_table"] = _check_tree(fields["kintree_table"])
    vertices = len(fields["v_template"])
    _check_range("f", fields["f"], vertices)
    _check_levels(fields, vertices)
    if "joint_regressor" not in fields:
        _check_human(fields)
    return fields


def check_rows(fields: Mapping[str, np.ndarray]) -> None:
    """Refuse weights and regressors that are no means over vertices or joints.

    Raises:
        FieldError: If a row does not sum to 1, within a tenth.
    """
    for name, array in fields.items():
        if name.endswith(("weights", "regressor", "_weight")):
            sums = array.sum(-1, dtype=np.float64)
            wrong = np.flatnonzero(~(np.abs(sums - 1) <= _ROW_TOLERANCE))
            if len(wrong):
                row, total = wrong[0], sums[wrong[0]]
                raise FieldError(f"row {row} of the field {name} sums to {total:.3g}, not to 1")


def is_level(name: str) -> bool:
    """Return whether a field belongs to a coarser mesh."""
    return _LEVEL.fullmatch(name) is not None


def _is_index(name: str) -> bool:
    return name in ("kintree_table", "f") or name.endswith(("_index", "_vertices", "_faces"))


def _widen(name: str, value: object) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):
        raise FieldError(f"the field {name} is no array") from None
    if array.dtype.kind not in "iuf":
        raise FieldError(f"the field {name} is not numeric")
    if _is_index(name):
        # Half precision has rounded indices above 2048 already, so no float is one.
        if array.dtype.kind == "f":
            raise FieldError(f"the field {name} holds {array.dtype}, not whole numbers")
        return array.astype(np.int64, order="C")
    wide = array.dtype.kind == "f" and array.dtype.itemsize > 4
    with np.errstate(over="ignore"):
        array = array.astype(np.float64 if wide else np.float32, order="C")
        finite = np.isfinite(array.astype(np.float32)).all()
    if not finite:
        problem = f"the field {name} holds NaN or infinity, or a number beyond single precision"
        raise FieldError(problem)
    return array


def _check_shapes(fields: Mapping[str, np.ndarray], joints: int | None) -> None:
    _check_shape(fields, "v_template", (None, 3))
    _check_shape(fields, "kintree_table", (2, joints))
    vertices, joints = len(fields["v_template"]), fields["kintree_table"].shape[1]
    shapes: dict[str, tuple[int | None, ...]] = {
        "shapedirs": (vertices, 3, None),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "f": (None, 3),
        "keypoint_regressor": (17, vertices),
        "joint_regressor": (None, vertices),
    }
    for name, wanted in shapes.items():
        if name in fields:
            _check_shape(fields, name, wanted)


def _check_shape(
    fields: Mapping[str, np.ndarray], name: str, wanted: tuple[int | None, ...]
) -> None:
    shape = fields[name].shape
    fits = len(shape) == len(wanted) and all(
        want in (None, have) for want, have in zip(wanted, shape, strict=True)
    )
    if not fits:
        text = " x ".join("any" if want is None else str(want) for want in wanted)
        raise FieldError(f"the field {name} is {shape}, not {text}")
    if 0 in shape and name not in ("shapedirs", "posedirs"):
        raise FieldError(f"the field {name} is empty")


def _check_range(name: str, index: np.ndarray, vertices: int) -> None:
    if index.min() < 0 or index.max() >= vertices:
        raise FieldError(f"the field {name} names a vertex beyond {vertices}")


def _check_tree(table: np.ndarray) -> np.ndarray:
    """Return the table with -1 as the root's parent, which files write in many ways."""
    parents, joints = table[0, 1:], table.shape[1]
    late = (parents < 0) | (parents >= np.arange(1, joints))
    if late.any() or 0 < table[0, 0] < joints:
        raise FieldError("the field kintree_table has a joint before its parent")
    if (table[1] != np.arange(joints)).any():
        raise FieldError("the field kintree_table numbers the joints in another order")
    table[0, 0] = -1
    return table


def _check_levels(fields: Mapping[str, np.ndarray], vertices: int) -> None:
    left, fine = {name for name in fields if is_level(name)}, vertices
    for size in LEVEL_SIZES:
        names = _level_names(size, fine)
        if size >= fine or not left & set(names):
            continue
        missing = [name for name in names if name not in fields]
        if missing:
            raise FieldError(f"lacks the field {', '.join(missing)}")
        _check_level(fields, size, fine)
        left, fine = left - set(names), size
    if left:
        problem = f"the field {min(left)} does not follow from a mesh of {fine} vertices"
        raise FieldError(problem, f"Give all meshes from {vertices} vertices down, or none")


def _level_names(size: int, fine: int) -> tuple[str, str, str, str]:
    up = f"up_{size}_to_{fine}"
    return f"level_{size}_vertices", f"level_{size}_faces", f"{up}_index", f"{up}_weight"


def _check_level(fields: Mapping[str, np.ndarray], size: int, fine: int) -> None:
    kept, faces, index, weight = _level_names(size, fine)
    _check_shape(fields, kept, (size,))
    _check_shape(fields, faces, (None, 3))
    _check_shape(fields, index, (fine, 3))
    _check_shape(fields, weight, (fine, 3))
    _check_range(kept, fields[kept], fine)
    _check_range(faces, fields[faces], size)
    _check_range(index, fields[index], size)
    if len(np.unique(fields[kept])) < size:
        raise FieldError(f"the field {kept} names a vertex twice")


def _check_human(fields: Mapping[str, np.ndarray]) -> None:
    if "keypoint_regressor" not in fields and len(fields["J_regressor"]) < len(SMPL_JOINT_NAMES):
        raise FieldError("lacks the field joint_regressor")
    _check_metres(fields)


def _check_metres(fields: Mapping[str, np.ndarray]) -> None:
    size = np.ptp(fields["v_template"], axis=0).max()
    problem = f"the field v_template spans {size:.4g}, which is no human body in metres"
    remedy = "Give v_template, shapedirs and posedirs in metres"
    if size < _SMALLEST:
        raise FieldError(problem, remedy)
    if size > _LARGEST:
        unit, factor = ("millimetres", 1000) if size > _MILLIMETRES else ("centimetres", 100)
        remedy = f"Divide v_template, shapedirs and posedirs by {factor}"
        raise FieldError(f"{problem}; it seems to be in {unit}", remedy)
    for name in ("shapedirs", "posedirs"):
        if name in fields and np.abs(fields[name]).max(initial=0) > _LARGEST:
            raise FieldError(f"the field {name} moves vertices by more than {_LARGEST} m", remedy)
