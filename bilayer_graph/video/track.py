"""One person through a video: arrays over the frames, and their file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bilayer_graph.body import axis_angle_to_matrix, matrix_to_axis_angle
from bilayer_graph.errors import InputError, not_written
from bilayer_graph.render.motion import usual_rate


@dataclass(frozen=True, eq=False, repr=False)
class Track:
    """One person through T frames of a video; metres, camera axes (x right, y down, z forward).

    A person who is out of sight for a while has no frames there: ``frames`` has gaps.

    Attributes:
        frames: Which frames of the video, counted from 0, ``[T]``.
        times: Seconds from the start of the video, ``[T]``.
        rotations: Of the 24 bones relative to their parents, the first in camera axes,
            ``[T, 24, 3, 3]``.
        betas: Shape coefficients, one body for all frames, ``[10]``.
        translation: Where the pelvis is before the camera, ``[T, 3]``.
        joints: The skeleton's 12 joints, pelvis at the origin, ``[T, 12, 3]``.
        keypoints: COCO's 17 keypoints in pixels, and confidence, ``[T, 17, 3]``.
        focal: Focal length in pixels.
        centre: Where the optical axis meets the picture, ``[2]``, pixels.
    """

    frames: np.ndarray
    times: np.ndarray
    rotations: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    joints: np.ndarray
    keypoints: np.ndarray
    focal: float
    centre: np.ndarray

    def __repr__(self) -> str:
        return f"Track({len(self.frames)} frames, {self.times[0]:.2f} to {self.times[-1]:.2f} s)"

    @property
    def frame_rate(self) -> float:
        """Frames a second where none is missing: one over the median step between two frames."""
        steps = np.diff(self.times)[np.diff(self.frames) == 1]
        return usual_rate(steps) if len(steps) else 0.0

    def save(self, path: str | Path) -> None:
        """Write an ``.npz``; fields that AMASS has too are called as there.

        Raises:
            InputError: If it cannot be written.
        """
        poses = matrix_to_axis_angle(torch.from_numpy(self.rotations)).flatten(1).numpy()
        try:
            with open(path, "wb") as file:
                np.savez(
                    file,
                    poses=poses,
                    betas=self.betas,
                    gender="neutral",
                    mocap_framerate=self.frame_rate,
                    frames=self.frames,
                    times=self.times,
                    translation=self.translation,
                    joints=self.joints,
                    keypoints=self.keypoints,
                    focal=self.focal,
                    centre=self.centre,
                )
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be
            raise not_written("path", path, error) from error

    @classmethod
    def load(cls, path: str | Path) -> "Track":
        """Read what :meth:`save` wrote.

        Raises:
            InputError: If it is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            poses = torch.from_numpy(arrays.pop("poses")).unflatten(1, (-1, 3))
            return cls(
                rotations=axis_angle_to_matrix(poses).numpy(),
                focal=float(arrays.pop("focal")),
                **{name: arrays[name] for name in cls.__annotations__ if name in arrays},
            )
        except Exception as error:  # archives and arrays break in many ways
            problem = f"no track of a video ({str(error)[:200]})"
            remedy = "Give a track_N.npz that `bilayer-graph recover --video` wrote"
            raise InputError("path", path, problem, remedy) from error
