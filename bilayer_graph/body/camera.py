"""Cameras: perspective, and weak perspective, a scale and a shift in the picture plane."""

from dataclasses import dataclass

import torch
from torch import Tensor

UPRIGHT = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
"""From body axes (x left, y up, z front) to camera axes (x right, y down, z forward)."""


@dataclass(frozen=True, eq=False)
class PerspectiveCamera:
    r"""A pinhole camera, and the place of one person before it.

    .. math:: u = f \, (X + T)_{xy} / (X + T)_z + c

    Attributes:
        focal: Focal length in pixels.
        centre: Where the optical axis meets the picture, ``[2]``, pixels.
        place: Where the person's origin is, ``[3]``, metres in camera axes.
    """

    focal: float
    centre: Tensor
    place: Tensor

    def project(self, points: Tensor) -> Tensor:
        """Return where points ``[N, 3]`` of the person are in the picture, ``[N, 2]`` in pixels.

        Points less than 5 cm before the camera, or behind it, are taken for 5 cm before it.
        """
        moved = points + self.place
        return self.focal * moved[:, :2] / moved[:, 2:].clamp_min(0.05) + self.centre


def project(points: Tensor, camera: Tensor) -> Tensor:
    r"""Project points with a weak-perspective camera, :math:`x = s (X_{xy} + t)`.

    Args:
        points: ``[B, N, 3]``, metres, camera axes (x right, y down, z forward).
        camera: ``[B, 3]`` as ``(s, tx, ty)``; ``s`` in crop units per metre, ``t`` in metres.

    Returns:
        ``[B, N, 2]``, crop coordinates in [-1, 1] (x right, y down).
    """
    return camera[:, None, :1] * (points[..., :2] + camera[:, None, 1:])


def fit_camera(points3d: Tensor, points2d: Tensor, visible: Tensor | None = None) -> Tensor:
    r"""Fit the camera that projects 3D points nearest to given 2D points, in closed form.

    Minimises :math:`\sum_i w_i |s (X_i + t) - x_i|^2`. Two or more distinct visible points
    determine it; with fewer, or where the best scale is not positive, the scale is 1e-3.

    Args:
        points3d: ``[B, N, 3]``, metres, camera axes.
        points2d: ``[B, N, 2]``, crop coordinates.
        visible: ``[B, N]``, booleans or non-negative weights; all points count when ``None``.
            Points of weight 0 may hold anything, NaN included.

    Returns:
        ``[B, 3]`` as ``(s, tx, ty)``.
    """
    flat = points3d[..., :2]
    weight = torch.ones_like(flat[..., 0]) if visible is None else visible.to(flat.dtype)
    weight = weight / weight.sum(-1, keepdim=True).clamp_min(1e-9)
    used = weight[..., None] > 0
    source = torch.where(used, flat, 0)
    target = torch.where(used, points2d, 0)
    weight = weight[..., None]
    source_mean = (weight * source).sum(-2)
    target_mean = (weight * target).sum(-2)
    source = source - source_mean[:, None]
    target = target - target_mean[:, None]
    spread = (weight * source.square()).sum((-1, -2))
    scale = (weight * source * target).sum((-1, -2)) / spread.clamp_min(1e-12)
    scale = scale.clamp_min(1e-3)[:, None]
    return torch.cat([scale, target_mean / scale - source_mean], -1)
