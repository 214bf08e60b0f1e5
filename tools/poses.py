"""Make a file of body poses for training from motion capture: BVH files, or AMASS's npz files.

    python tools/poses.py --source FOLDER --out poses.npz

docs/poses.md says where to get such files and what the result holds.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bvh import read_bvh
from retarget import retarget
from torch import Tensor
from tqdm import tqdm

from bilayer_graph.body import SMPL_PARENTS, BodyModel, matrix_to_axis_angle
from bilayer_graph.cli.numbers import npz_path
from bilayer_graph.errors import InputError
from bilayer_graph.synthetic.motion import read_poses

# AMASS has these beside its motions; they hold a person's shape, and no poses.
_NO_MOTION = ("shape.npz", "*_stagei.npz")


@dataclass(frozen=True)
class Motion:
    """Rotations ``[F, 24, 3, 3]`` float64 relative to the parents, and their times ``[F]`` in s."""

    rotations: Tensor
    times: Tensor


def main(words: Sequence[str] | None = None) -> int:
    """Make the file; return the exit status, 1 where a file of the folder cannot be used."""
    arguments = parse(words)
    try:
        files = motion_files(arguments.source, arguments.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failures = make(files, arguments)
    if failures:
        print(f"{len(failures)} of {len(files)} files left out:", file=sys.stderr)
        print(*failures, sep="\n", file=sys.stderr)
    return 1 if failures else 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--source", type=Path, required=True, help="folder, searched recursively")
    parser.add_argument("--out", type=npz_path, required=True, help="the .npz file to write")
    parser.add_argument("--fps", type=rate, default=60.0, help="frames a second that are looked at")
    parser.add_argument(
        "--distance",
        type=metres,
        default=0.012,
        help="metres that the joints move on average from one kept pose to the next",
    )
    return parser.parse_args(words)


def rate(text: str) -> float:
    """Return a number between 0.001 and a million."""
    number = float(text)
    if not 1e-3 <= number <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.001 and 1e6")
    return number


def metres(text: str) -> float:
    """Return a number of at least 0."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no distance of 0 or more")
    return number


def motion_files(source: Path, out: Path) -> dict[Path, str]:
    """Return motion files of a folder and its folders, with the name of each one's clip.

    The clip is the file's name, or its path within the folder where two files have one name.

    Raises:
        InputError: If there is no such folder, or no motion in it.
    """
    if not source.is_dir():
        raise InputError("--source", source, "no such folder", "Give a folder of .bvh or .npz")
    files = sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in (".bvh", ".npz")
        and path.is_file()
        and not any(path.match(pattern) for pattern in _NO_MOTION)
        and path.resolve() != out.resolve()
    )
    if not files:
        remedy = "Give a folder with such files in it or below it"
        raise InputError("--source", source, "no .bvh and no .npz motion in it", remedy)
    named = Counter(path.stem for path in files)
    return {
        path: path.stem
        if named[path.stem] == 1
        else path.relative_to(source).with_suffix("").as_posix()
        for path in files
    }


def make(files: dict[Path, str], arguments: argparse.Namespace) -> list[str]:
    """Write the poses of all files that can be used; return why the others cannot."""
    body = BodyModel.load()
    rest_joints = (body.J_regressor @ body.v_template).double()
    poses, times = [], []
    clips: list[str] = []
    failures: list[str] = []
    for path, clip in tqdm(files.items(), unit="file", disable=None):
        try:
            motion = read_motion(path, rest_joints, arguments.fps)
        except InputError as error:
            failures.append(f"{path}: {error}")
            continue
        kept = distinct(joint_positions(motion.rotations, rest_joints), arguments.distance)
        vectors = matrix_to_axis_angle(motion.rotations[kept]).flatten(1)
        poses.append(vectors.numpy().astype(np.float16))
        clips += [clip] * len(kept)
        times.append(motion.times[kept].numpy().astype(np.float32))
    if poses:
        np.savez_compressed(
            arguments.out,
            poses=np.concatenate(poses),
            clip=np.array(clips),
            time=np.concatenate(times),
            fps=np.float32(arguments.fps),
        )
        print(f"wrote {arguments.out}: {len(clips)} poses of {len(poses)} clips")
    return failures


def read_motion(path: Path, rest_joints: Tensor, fps: float) -> Motion:
    """Read the motion of a file in the axes of the body, about ``fps`` frames a second of it.

    Raises:
        InputError: If the file cannot be used.
    """
    if path.suffix.lower() == ".npz":
        poses = read_poses(path, up="z")
        file_fps = poses.fps or fps
        looked_at = poses.rows % every(file_fps, fps) == 0
        return Motion(poses.rotations[looked_at].double(), poses.rows[looked_at] / file_fps)
    bvh = read_bvh(path)
    # The conversions of the CMU files begin with a T-pose that is no part of the recording.
    first = min(1, len(bvh.motion) - 1)
    step = every(1 / bvh.frame_time, fps)
    rotations = retarget(bvh, rest_joints, slice(first, None, step))
    return Motion(rotations, torch.arange(len(rotations)) * (bvh.frame_time * step))


def every(file_fps: float, fps: float) -> int:
    """Return how many frames of the file one step goes."""
    return round(min(max(file_fps / fps, 1), 1e6))


def joint_positions(rotations: Tensor, rest_joints: Tensor) -> Tensor:
    """Return joints ``[F, 24, 3]`` in the axes of the pelvis, metres: its turn is no pose."""
    places = [rest_joints[0].expand(len(rotations), 3)]
    turns = [torch.eye(3, dtype=rotations.dtype).expand(len(rotations), 3, 3)]
    for joint in range(1, len(SMPL_PARENTS)):
        parent = SMPL_PARENTS[joint]
        offset = rest_joints[joint] - rest_joints[parent]
        places.append(places[parent] + turns[parent] @ offset)
        turns.append(turns[parent] @ rotations[:, joint])
    return torch.stack(places, 1)


def distinct(joints: Tensor, distance: float) -> list[int]:
    """Return frames with joints on average more than ``distance`` from the last one taken.

    Args:
        joints: ``[F, 24, 3]``, metres.
        distance: Metres.

    Returns:
        At most F frames in order, the first of which is 0.
    """
    places = joints.numpy()
    kept = [0]
    for frame in range(1, len(places)):
        moved = np.linalg.norm(places[frame] - places[kept[-1]], axis=-1).mean()
        if moved > distance:
            kept.append(frame)
    return kept


if __name__ == "__main__":
    sys.exit(main())
