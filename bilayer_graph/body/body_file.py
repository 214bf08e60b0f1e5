"""The arrays of a body model, read from a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bilayer_graph.body.body_fields import check_fields, check_rows, is_level
from bilayer_graph.body.field_error import FieldError, one_line
from bilayer_graph.body.joints import SMPL_JOINT_NAMES
from bilayer_graph.body.npz_reader import read_npz
from bilayer_graph.body.pickle_reader import read_pickle
from bilayer_graph.body.skeleton_fields import SKELETON_FIELDS, unpack_skeleton
from bilayer_graph.errors import InputError

SHAPE_COMPONENTS = 10
BUILTIN_BODY = Path(__file__).with_name("builtin_body.npz")

_FIELDS = (
    "v_template",
    "shapedirs",
    "J_regressor",
    "weights",
    "kintree_table",
    "f",
    "posedirs",
    "keypoint_regressor",
)
_MAX_BYTES = 2**29
_REMEDY = (
    "Give a file with the fields of SMPL (its own .pkl, or .npz), or none for the built-in body"
)


def read_body_file(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a body file, checked, as float32 (float64 stays) and int64.

    Always there: ``v_template`` ``[V, 3]``, ``shapedirs`` ``[V, 3, S]``, ``J_regressor``
    ``[24, V]``, ``weights`` ``[V, 24]``, ``kintree_table`` ``[2, 24]`` (the root's parent is -1)
    and ``f`` ``[F, 3]``, with lengths in metres. Where the file has them: ``posedirs``
    ``[V, 3, 207]``, ``keypoint_regressor`` ``[17, V]``, and the mesh levels ``level_*`` and
    ``up_*`` of the built-in body.

    A body that is no human has the fields of a :class:`~bilayer_graph.body.Skeleton` of J joints
    too: ``joint_names`` (uint8, ASCII text, names between spaces), ``bones`` ``[N, 2]``, ``root``,
    and ``joint_regressor`` ``[J, V]``. It may have any number of skinning joints and shapes.

    Args:
        path: An ``.npz`` file, or an SMPL pickle (read through an allow-list, never run); what
            it is shows in its first bytes, whatever its name.

    Raises:
        InputError: If there is no such file or a damaged one, or a field is missing, of the wrong
            type or shape, out of range, or not in metres.
    """
    path = _as_path(path)
    try:
        return _check(_read(path))
    except FieldError as error:
        raise InputError("body", path, str(error), error.remedy or _REMEDY) from error
    except MemoryError as error:
        raise InputError("body", path, "too large for the free memory", _REMEDY) from error


def _check(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if "joint_names" in arrays:
        kept = {name: arrays[name] for name in SKELETON_FIELDS if name in arrays}
        fields = kept | check_fields(arrays)
        unpack_skeleton(fields)
    else:
        human = {name: array for name, array in arrays.items() if name not in SKELETON_FIELDS}
        fields = check_fields(human, joints=len(SMPL_JOINT_NAMES))
        if fields["shapedirs"].shape[-1] < SHAPE_COMPONENTS:
            raise FieldError(f"the field shapedirs has fewer than {SHAPE_COMPONENTS} components")
    check_rows(fields)
    return fields


def _as_path(path: str | Path) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise InputError("body", type(path).__name__, "not a path", _REMEDY) from None


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        return _choose_reader(path)(path, _is_field)
    except OSError as error:  # no right to read it, or a name that no file system takes
        raise FieldError(f"not a readable file ({one_line(error.strerror)})") from error


def _choose_reader(path: Path) -> Callable[[Path, Callable[[str], bool]], dict[str, np.ndarray]]:
    """Return the reader for what the file's first bytes say it is."""
    if path.is_dir():
        raise FieldError("a folder, not a file")
    if not path.is_file():
        raise FieldError("no such file")
    if path.stat().st_size > _MAX_BYTES:
        raise FieldError(f"larger than {_MAX_BYTES >> 20} MiB, as no body is")
    with path.open("rb") as stream:
        start = stream.read(6)
    if start == b"\x93NUMPY":
        raise FieldError("a single array (.npy), not a .npz file")
    return read_npz if start.startswith(b"PK") else read_pickle


def _is_field(name: str) -> bool:
    return name in _FIELDS + SKELETON_FIELDS or is_level(name)
