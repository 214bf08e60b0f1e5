"""All files of a motion at once."""

from pathlib import Path

import numpy as np

from bilayer_graph.body import Rig
from bilayer_graph.render.amass_file import write_amass
from bilayer_graph.render.bvh_file import write_bvh
from bilayer_graph.render.motion import even_frames
from bilayer_graph.render.rigged_glb import write_rigged_glb


def write_motion(
    rig: Rig,
    stem: Path,
    times: np.ndarray,
    rotations: np.ndarray,
    translation: np.ndarray,
) -> None:
    """Write a motion as ``STEM.glb``, ``STEM.bvh`` and ``STEM_amass.npz``.

    The first has the frames at their times; the other two begin with the first frame and have the
    rate of most, missing ones interpolated.

    Args:
        rig: The body.
        stem: Where to: folder and name.
        times: Seconds from 0 on, growing, ``[T]``.
        rotations: Of SMPL's 24 joints relative to their parents, the first in camera axes,
            ``[T, 24, 3, 3]``.
        translation: Of the pelvis, metres in camera axes, ``[T, 3]``.

    Raises:
        InputError: If the times do not grow from 0 on.
    """
    rate, turns, moves = even_frames(times, rotations, translation)
    write_rigged_glb(rig, stem.with_name(f"{stem.name}.glb"), rotations, translation, times)
    write_bvh(rig, stem.with_name(f"{stem.name}.bvh"), turns, moves, rate)
    write_amass(rig, stem.with_name(f"{stem.name}_amass.npz"), turns, moves, rate)
