"""Read the arrays of a body model from a file."""

import zipfile
from pathlib import Path

import numpy as np

from bilayer_graph.body.joints import SMPL_JOINT_NAMES
from bilayer_graph.body.pickle_reader import read_pickle
from bilayer_graph.errors import InputError

SHAPE_COMPONENTS = 10
BUILTIN_BODY = Path(__file__).with_name("builtin_body.npz")

_REQUIRED = ("v_template", "shapedirs", "J_regressor", "weights", "kintree_table", "f")
_OPTIONAL = ("posedirs", "keypoint_regressor")
_LEVELS = (
    "level_1723_vertices",
    "level_1723_faces",
    "level_431_vertices",
    "level_431_faces",
    "up_1723_to_6890_index",
    "up_1723_to_6890_weight",
    "up_431_to_1723_index",
    "up_431_to_1723_weight",
)
_REMEDY = "Give a file with the fields of SMPL, or none for the built-in body"


def read_body_file(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays of a body file, checked, as float32 (float64 stays) and int64.

    Always there: ``v_template`` [V, 3], ``shapedirs`` [V, 3, S], ``J_regressor`` [24, V],
    ``weights`` [V, 24], ``kintree_table`` [2, 24] (the root's parent is -1), ``f`` [F, 3].
    Where the file has them: ``posedirs`` [V, 3, 207], ``keypoint_regressor`` [17, V], and the
    mesh levels ``level_*`` and ``up_*`` of the built-in body.

    Args:
        path: An ``.npz`` file, or an SMPL ``.pkl`` (read through an allow-list, never run).

    Raises:
        InputError: No such file, a damaged one, a field missing or of the wrong shape.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("body", path, "no such file", _REMEDY)
    names = _REQUIRED + _OPTIONAL + _LEVELS
    arrays = read_pickle(path, names) if path.suffix == ".pkl" else _read_npz(path, names)
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        raise InputError("body", path, f"lacks the field {', '.join(missing)}", _REMEDY)
    arrays = {name: _widen(path, name, array) for name, array in arrays.items()}
    arrays["kintree_table"][0, 0] = -1
    _check_shapes(path, arrays)
    return arrays


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in names if name in content.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError("body", path, f"not a readable .npz file ({error})", _REMEDY) from error


def _widen(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind != "f":
        raise InputError("body", path, f"the field {name} is not numeric", _REMEDY)
    if not np.isfinite(array).all():
        raise InputError("body", path, f"the field {name} holds NaN or infinity", _REMEDY)
    return array.astype(np.promote_types(array.dtype, np.float32))


def _check_shapes(path: Path, arrays: dict[str, np.ndarray]) -> None:
    vertices = len(arrays["v_template"])
    joints = len(SMPL_JOINT_NAMES)
    shapes: dict[str, tuple[int | None, ...]] = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, None),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "kintree_table": (2, joints),
        "f": (None, 3),
        "keypoint_regressor": (17, vertices),
    }
    for name, wanted in shapes.items():
        if name not in arrays:
            continue
        shape = arrays[name].shape
        fits = len(shape) == len(wanted) and all(
            want in (None, have) for want, have in zip(wanted, shape, strict=True)
        )
        if not fits:
            text = " x ".join("any" if want is None else str(want) for want in wanted)
            raise InputError("body", path, f"the field {name} is {shape}, not {text}", _REMEDY)
    if arrays["shapedirs"].shape[-1] < SHAPE_COMPONENTS:
        problem = f"the field shapedirs has fewer than {SHAPE_COMPONENTS} components"
        raise InputError("body", path, problem, _REMEDY)
    parents = arrays["kintree_table"][0, 1:]
    if (parents < 0).any() or (parents >= np.arange(1, joints)).any():
        problem = "the field kintree_table has a joint before its parent"
        raise InputError("body", path, problem, _REMEDY)
    faces = arrays["f"]
    if faces.min() < 0 or faces.max() >= vertices:
        raise InputError("body", path, f"the field f names a vertex beyond {vertices}", _REMEDY)
