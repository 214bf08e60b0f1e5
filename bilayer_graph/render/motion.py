"""Motions as programs for animation take them: y up, and at an even rate."""

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from bilayer_graph.errors import InputError
from bilayer_graph.render.mesh_files import UPRIGHT

STILL_RATE = 30.0
"""Frames a second that a motion of one frame is said to have."""


def to_upright(rotations: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn a motion from camera axes to y up and +z towards the camera.

    Args:
        rotations: Of the joints relative to their parents, the first in camera axes,
            ``[T, K, 3, 3]``.
        translation: Of the pelvis in camera axes, ``[T, 3]``.
    """
    upright = rotations.astype(np.float64)
    upright[:, 0] *= UPRIGHT[:, None]
    return upright, translation.astype(np.float64) * UPRIGHT


def even_frames(
    times: np.ndarray, rotations: np.ndarray, translation: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Bring a motion to the rate of most of its frames, for files that know one rate only.

    Frames that are missing, or come early or late, are interpolated: rotations the short way round
    at an even speed, places on a straight line.

    Args:
        times: Seconds, growing, ``[T]``.
        rotations: ``[T, K, 3, 3]``.
        translation: ``[T, 3]``.

    Returns:
        Frames a second, and both arrays at that rate from the first time to the last.

    Raises:
        InputError: If the times do not grow.
    """
    check_times(times)
    if len(times) < 2:
        return STILL_RATE, rotations, translation
    rate = usual_rate(np.diff(times))
    count = 1 + round(float(times[-1] - times[0]) * rate)
    even = np.minimum(times[0] + np.arange(count) / rate, times[-1])
    turns = [
        Slerp(times, Rotation.from_matrix(rotations[:, joint]))(even).as_matrix()
        for joint in range(rotations.shape[1])
    ]
    moves = [np.interp(even, times, axis) for axis in translation.T]
    return rate, np.stack(turns, axis=1), np.stack(moves, axis=1)


def usual_rate(steps: np.ndarray) -> float:
    """Return the rate of most frames, from the seconds between them.

    Whoever takes the whole number of it must not get 24 where it is 25, for a rounding error.
    """
    return round(1 / float(np.median(steps)), 6)


def check_times(times: np.ndarray) -> None:
    """Refuse times of frames that no player could follow.

    Raises:
        InputError: If they do not grow from 0 on.
    """
    steps = np.diff(times, prepend=-1.0)
    if not (len(times) and times[0] >= 0 and (steps > 0).all()):
        shown = ", ".join(f"{time:g}" for time in times[:5])
        remedy = "Give the seconds of at least one frame, from 0 on, each later than the one before"
        raise InputError("times", f"[{shown}]", "they do not grow", remedy)
