"""Motions as SMPL parameters in the fields of AMASS."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from bilayer_graph.body import Rig
from bilayer_graph.render.motion import to_upright

# SMPL-H, as in AMASS: 22 joints of the body and 15 of each hand, and 16 numbers of shape.
_BODY_JOINTS, _ALL_JOINTS, _SHAPES = 22, 52, 16
_Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def write_amass(
    rig: Rig, path: Path, rotations: np.ndarray, translation: np.ndarray, rate: float
) -> None:
    """Write a motion as an ``.npz`` of AMASS's fields: z up, metres, axis-angle vectors.

    The vertices that a body model gives for ``poses`` and ``betas``, moved by ``trans``, are the
    body before a camera at the origin that looks along +y. Hands are straight.

    Args:
        rig: The body.
        path: The ``.npz`` file.
        rotations: Of SMPL's 24 joints relative to their parents, the first in camera axes,
            ``[T, 24, 3, 3]``.
        translation: Of the pelvis, metres in camera axes, ``[T, 3]``.
        rate: Frames a second.
    """
    upright, moves = to_upright(rotations, translation)
    upright[:, 0] = _Y_UP_TO_Z_UP @ upright[:, 0]
    poses = np.zeros((len(upright), _ALL_JOINTS, 3))
    body = upright[:, :_BODY_JOINTS].reshape(-1, 3, 3)
    poses[:, :_BODY_JOINTS] = Rotation.from_matrix(body).as_rotvec().reshape(-1, _BODY_JOINTS, 3)
    betas = np.zeros(_SHAPES)
    betas[: len(rig.betas)] = rig.betas.numpy()
    with path.open("wb") as file:
        np.savez(
            file,
            poses=poses.reshape(len(poses), -1),
            betas=betas,
            # SMPL turns the body about its pelvis, which is not at the origin of the model.
            trans=moves @ _Y_UP_TO_Z_UP.T - rig.root.numpy(),
            mocap_framerate=np.float64(rate),
            gender="neutral",
        )
