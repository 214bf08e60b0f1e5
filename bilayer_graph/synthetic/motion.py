"""Recorded poses of people from an ``.npz`` file in AMASS's layout."""

import math
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bilayer_graph.body.joints import SMPL_JOINT_NAMES
from bilayer_graph.body.rotations import axis_angle_to_matrix
from bilayer_graph.errors import InputError

_JOINTS = len(SMPL_JOINT_NAMES)
# Joints that a width shares with the 24 of SMPL; SMPL-H and SMPL-X have fingers or a face after 22.
_SHARED_JOINTS = {66: 22, 72: 24, 156: 22, 165: 22}
_RATES = ("fps", "mocap_framerate", "mocap_frame_rate")
_FIELDS = ("poses", "clip", *_RATES)
_UP_AXES = ("y", "z")
_Z_UP_TO_Y_UP = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
# Half turns come as up to pi, unwrapped curves as some turns more; degrees are far above.
_MAX_ANGLE = 8 * math.pi
_MAX_BYTES = 2**30
_ROWS_AT_ONCE = 4096
_REMEDY = "Give an .npz file with poses [N, 66, 72, 156 or 165], such as tools/poses.py writes"


@dataclass(frozen=True)
class MotionPoses:
    """Poses of people, y up; a body of zero rotations is in T-pose, faces +z, its left is +x.

    Attributes:
        rotations: ``[N, 24, 3, 3]`` float32, of each joint relative to its parent in SMPL's order.
            The first turns the whole body.
        clips: The recording that each pose is from, N names.
        rows: ``[N]`` int64, where in the file each pose stands: rows that are not finite lack.
        fps: Frames a second that the recordings were read at, if the file says so.
    """

    rotations: Tensor
    clips: tuple[str, ...]
    rows: Tensor
    fps: float | None


def read_poses(path: str | Path, up: str = "y") -> MotionPoses:
    """Read the poses of an ``.npz`` file.

    Its fields, all else is left unread:

    - ``poses`` ``[N, 66 | 72 | 156 | 165]``, any float type: axis-angle in radians of SMPL's (22 or
      24), SMPL-H's or SMPL-X's joints. Beyond the 22 joints that these share the 24-joint body has
      only the hands, which stay straight unless the file is SMPL's.
    - ``clip`` ``[N]`` strings, optional; else every pose is of a clip named as the file.
    - ``fps``, ``mocap_framerate`` or ``mocap_frame_rate``, optional.

    A pose with a value that is not finite is left out with a warning. So that 30,000 poses take
    some 30 MB, rotations are made a few thousand rows at a time.

    Args:
        path: The file.
        up: The axis of the file that points up. ``"y"`` is what ``tools/poses.py`` writes; raw
            files of AMASS have ``"z"``, and are turned (x, y, z) -> (x, z, -y).

    Raises:
        InputError: If there is no such file, or it is no ``.npz``, has no ``poses``, another width,
            pickled objects, more than 1 GiB, an angle that can only be degrees, no finite pose,
            ``clip`` of another length or a frame rate that is no positive number; or ``up`` is
            unknown.
    """
    if up not in _UP_AXES:
        raise InputError("up", up, "no such axis", f"Give one of {', '.join(_UP_AXES)}")
    path = Path(path)
    fields = _read_fields(path)
    if "poses" not in fields:
        raise InputError("poses", path, "lacks the field poses", _REMEDY)
    vectors = _axis_angles(path, fields["poses"])
    rows = _finite_rows(path, vectors)
    rotations = _matrices(vectors, rows)
    _warn_of_other_axis(path, rotations[:, 0], up)
    if up == "z":
        rotations[:, 0] = _Z_UP_TO_Y_UP @ rotations[:, 0]
    clips = _clip_names(path, fields.get("clip"), len(vectors))
    kept = clips if len(rows) == len(clips) else [clips[row] for row in rows.tolist()]
    return MotionPoses(rotations, tuple(kept), rows, _frame_rate(path, fields))


def _read_fields(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError("poses", path, "no such file", _REMEDY)
    if not zipfile.is_zipfile(path):
        raise InputError("poses", path, "not an .npz file", _REMEDY)
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
        _check_sizes(path, sizes)
        with np.load(path, allow_pickle=False) as content:
            fields = {name: content[name] for name in _FIELDS if name in content.files}
    except InputError:
        raise
    except (
        *(ValueError, OSError, EOFError, KeyError, TypeError, RuntimeError, MemoryError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise InputError("poses", path, f"not a readable .npz file ({error})", _REMEDY) from error
    for name, array in fields.items():
        if not isinstance(array, np.ndarray):  # numpy gives what is no array as bytes
            raise InputError("poses", path, f"the field {name} is no array", _REMEDY)
    return fields


def _check_sizes(path: Path, sizes: Mapping[str, int]) -> None:
    """Refuse a field by the bytes that the archive announces, before it is unpacked."""
    for name in _FIELDS:
        size = max(sizes.get(name, 0), sizes.get(f"{name}.npy", 0))
        if size > _MAX_BYTES:
            problem = f"the field {name} takes {size / 2**30:.1f} GiB"
            remedy = f"Give at most {_MAX_BYTES / 2**30:g} GiB, thinned out with tools/poses.py"
            raise InputError("poses", path, problem, remedy)


def _axis_angles(path: Path, poses: np.ndarray) -> Tensor:
    """Return the vectors ``[N, 24, 3]`` float32 of the joints that the body has."""
    if poses.dtype.kind != "f":
        problem = f"the field poses is of type {poses.dtype}, not floating point"
        raise InputError("poses", path, problem, _REMEDY)
    if poses.ndim != 2 or poses.shape[1] not in _SHARED_JOINTS or len(poses) == 0:
        widths = ", ".join(str(width) for width in _SHARED_JOINTS)
        problem = f"the field poses is {list(poses.shape)}, not N rows of one of {widths}"
        raise InputError("poses", path, problem, _REMEDY)
    shared = _SHARED_JOINTS[poses.shape[1]]
    vectors = torch.zeros(len(poses), _JOINTS, 3)
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and found as such
        body = poses[:, : 3 * shared].astype(np.float32)
    vectors[:, :shared] = torch.from_numpy(body).unflatten(1, (shared, 3))
    return vectors


def _finite_rows(path: Path, vectors: Tensor) -> Tensor:
    """Return which poses are numbers throughout, and check that these are radians."""
    finite = vectors.isfinite().flatten(1).all(1)
    rows = finite.nonzero().flatten()
    if len(rows) == 0:
        raise InputError("poses", path, "no pose without NaN or infinity", _REMEDY)
    if len(rows) < len(vectors):
        bad = (~finite).nonzero().flatten().tolist()
        named = ", ".join(str(row) for row in bad[:10]) + (", ..." if len(bad) > 10 else "")
        warnings.warn(
            f"poses={path}: {len(bad)} of {len(vectors)} rows left out, not finite: {named}.",
            stacklevel=3,
        )
    largest = float(torch.where(finite[:, None], vectors.norm(dim=-1), 0).max())
    if largest > _MAX_ANGLE:
        problem = f"it turns a joint by {largest:.4g} rad"
        raise InputError("poses", path, problem, "Give axis-angle vectors in radians")
    return rows


def _matrices(vectors: Tensor, rows: Tensor) -> Tensor:
    rotations = torch.empty(len(rows), _JOINTS, 3, 3)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        rotations[part] = axis_angle_to_matrix(vectors[rows[part]])
    return rotations


def _warn_of_other_axis(path: Path, root: Tensor, up: str) -> None:
    """Warn where the heads of most people point along the axis that is not ``up``."""
    other = "z" if up == "y" else "y"
    if root[:, 1 + _UP_AXES.index(other), 1].median() > 0.7:
        warnings.warn(
            f"poses={path}: most people lie flat; is {other} up in this file? "
            f'Then give up="{other}".',
            stacklevel=3,
        )


def _clip_names(path: Path, clip: np.ndarray | None, count: int) -> list[str]:
    if clip is None:
        return [path.stem] * count
    if clip.dtype.kind not in "US" or clip.shape != (count,):
        problem = f"the field clip is {clip.dtype} {list(clip.shape)}, not {count} strings"
        raise InputError("poses", path, problem, _REMEDY)
    if clip.dtype.kind == "S":
        clip = np.char.decode(clip, "utf-8", "replace")
    names: list[str] = clip.tolist()
    return names


def _frame_rate(path: Path, fields: Mapping[str, np.ndarray]) -> float | None:
    name = next((name for name in _RATES if name in fields), None)
    if name is None:
        return None
    rate = fields[name]
    if rate.size != 1 or rate.dtype.kind not in "fiu" or not 0 < float(rate.item()) < math.inf:
        remedy = "Give frames a second, or leave the field out"
        raise InputError("poses", path, f"the field {name} is no positive number", remedy)
    return float(rate.item())
