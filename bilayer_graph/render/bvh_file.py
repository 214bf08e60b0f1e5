"""Motions as BVH: a skeleton, and for each frame the Euler angles of its joints."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from bilayer_graph.body import Rig
from bilayer_graph.render.joint_names import animation_names
from bilayer_graph.render.motion import to_upright

# BVH has no unit; those who read it expect centimetres.
_UNITS_A_METRE = 100.0
_ORDER = "ZXY"


def write_bvh(
    rig: Rig, path: Path, rotations: np.ndarray, translation: np.ndarray, rate: float
) -> None:
    """Write a motion as BVH: centimetres, y up, all angles zero in the body's T-pose.

    Args:
        rig: The body.
        path: The ``.bvh`` file.
        rotations: Of the joints relative to their parents, the first in camera axes,
            ``[T, K, 3, 3]``.
        translation: Of the pelvis, metres in camera axes, ``[T, 3]``.
        rate: Frames a second.
    """
    upright, moves = to_upright(rotations, translation)
    order: list[int] = []
    lines = ["HIERARCHY", *_joint(rig, animation_names(len(rig.parents)), 0, order)]
    lines += ["MOTION", f"Frames: {len(upright)}", f"Frame Time: {1 / rate:.8f}"]
    angles = euler_angles(upright[:, order])
    rows = np.concatenate([moves * _UNITS_A_METRE, angles.reshape(len(angles), -1)], axis=1)
    lines += [" ".join(f"{number:.5f}" for number in row) for row in rows.tolist()]
    path.write_text("\n".join([*lines, ""]))


def _joint(rig: Rig, names: list[str], joint: int, order: list[int]) -> Iterator[str]:
    """Give the lines of a joint and of all that hang on it, and note their order."""
    order.append(joint)
    tabs = "\t" * _depth(rig, joint)
    offset = rig.offsets[joint] * _UNITS_A_METRE
    angles = " ".join(f"{axis}rotation" for axis in _ORDER)
    channels = f"3 {angles}" if joint else f"6 Xposition Yposition Zposition {angles}"
    yield f"{tabs}{'JOINT' if joint else 'ROOT'} {names[joint]}"
    yield f"{tabs}{{"
    yield f"{tabs}\tOFFSET {_numbers(offset.tolist())}"
    yield f"{tabs}\tCHANNELS {channels}"
    children = [child for child, parent in enumerate(rig.parents) if parent == joint]
    for child in children:
        yield from _joint(rig, names, child, order)
    if not children:
        # Half a bone further on, so that the last one has a length.
        yield f"{tabs}\tEnd Site"
        yield f"{tabs}\t{{"
        yield f"{tabs}\t\tOFFSET {_numbers((offset / 2).tolist())}"
        yield f"{tabs}\t}}"
    yield f"{tabs}}}"


def _depth(rig: Rig, joint: int) -> int:
    return 1 + _depth(rig, rig.parents[joint]) if joint else 0


def _numbers(numbers: list[float]) -> str:
    return " ".join(f"{number:.5f}" for number in numbers)


def euler_angles(rotations: np.ndarray) -> np.ndarray:
    r"""Return the angles of :math:`R = R_z R_x R_y` in degrees, ``[T, K, 3]``, without jumps.

    Each rotation has two sets of angles, and each angle any number of whole turns: the ones nearest
    to the frame before are taken, so that what is drawn or thinned out as curves is smooth.

    Args:
        rotations: ``[T, K, 3, 3]``.
    """
    flat = Rotation.from_matrix(rotations.reshape(-1, 3, 3))
    with warnings.catch_warnings():
        # Bent by a right angle, only the sum of the other two is known: any pair is right.
        warnings.filterwarnings("ignore", message="Gimbal lock")
        first = flat.as_euler(_ORDER, degrees=True).reshape(*rotations.shape[:2], 3)
    second = first * [1.0, -1.0, 1.0] + 180.0
    angles: np.ndarray = first.copy()
    for frame in range(1, len(angles)):
        before = angles[frame - 1]
        near, far = (
            before + (some[frame] - before + 180.0) % 360.0 - 180.0 for some in (first, second)
        )
        closer = np.abs(near - before).sum(-1) <= np.abs(far - before).sum(-1)
        angles[frame] = np.where(closer[:, None], near, far)
    return angles
