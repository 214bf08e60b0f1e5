"""Where the camera stands, and which square of its picture is cut out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bilayer_graph.synthetic.draws import Draws

_LYING_SHARE = 0.12
# Cut-outs with part of the person outside the frame.
_TRUNCATED_SHARE = 0.12
# Side of the square over the longer side of the box around the 17 keypoints.
SQUARE_OVER_BOX = 1.3


def sample_orientations(draws: Draws) -> Tensor:
    """Draw rotations from body axes (x left, y up, z front) to the camera's (x right, y down).

    All headings are equally likely; bodies stand upright up to a few degrees or lie on the floor,
    and the camera looks on from about hip height, sometimes from above, rolled a little.

    Returns:
        ``[B, 3, 3]``
    """
    heading = draws.uniform("heading", low=-math.pi, high=math.pi)
    lean = draws.normal("lean", 2) * math.radians(5)
    quarter = draws.uniform("lying", low=-1.0).sign() * (math.pi / 2)
    lies = draws.chance("lies", _LYING_SHARE)
    tilt = torch.where(lies, quarter, lean[:, 0])
    # A lying body faces up, down or sideways: it first turns about its own length.
    spin = torch.where(lies, draws.uniform("spin", low=-math.pi, high=math.pi), 0.0)
    body = _about_y(heading) @ _about_z(lean[:, 1]) @ _about_x(tilt) @ _about_y(spin)
    from_above = draws.chance("from above", 0.2) | lies
    pitch = torch.where(
        from_above,
        draws.uniform("high pitch", low=math.radians(10), high=math.radians(45)),
        draws.normal("pitch") * math.radians(8),
    )
    roll = draws.normal("roll") * math.radians(5)
    upside = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=draws.device))
    return _about_z(roll) @ _about_x(pitch) @ upside @ body


def sample_cameras(draws: Draws, keypoints: Tensor) -> Tensor:
    """Draw weak-perspective cameras (s, tx, ty) of jittered squares around the keypoints.

    Args:
        draws: Random numbers of B samples.
        keypoints: ``[B, 17, 3]`` COCO keypoints in camera axes, metres.

    Returns:
        ``[B, 3]``: the square is [-1, 1] x [-1, 1] in ``s * (X_xy + t)``.
    """
    low, high = keypoints[..., :2].amin(1), keypoints[..., :2].amax(1)
    box = (high - low).amax(-1)
    truncated = draws.chance("truncated", _TRUNCATED_SHARE)
    side = box * SQUARE_OVER_BOX * draws.uniform("zoom", low=0.85, high=1.2)
    side = torch.where(truncated, side * draws.uniform("close", low=0.5, high=0.85), side)
    reach = torch.where(truncated, 0.15, 0.06).unsqueeze(-1)
    shift = draws.uniform("shift", 2, low=-1.0) * reach * box.unsqueeze(-1)
    centre = (low + high) / 2 + shift
    return torch.cat([(2 / side).unsqueeze(-1), -centre], dim=-1)


def _about_x(angle: Tensor) -> Tensor:
    one, zero, cos, sin = _parts(angle)
    return _matrix(one, zero, zero, zero, cos, -sin, zero, sin, cos)


def _about_y(angle: Tensor) -> Tensor:
    one, zero, cos, sin = _parts(angle)
    return _matrix(cos, zero, sin, zero, one, zero, -sin, zero, cos)


def _about_z(angle: Tensor) -> Tensor:
    one, zero, cos, sin = _parts(angle)
    return _matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)


def _parts(angle: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.ones_like(angle), torch.zeros_like(angle), angle.cos(), angle.sin()


def _matrix(*entries: Tensor) -> Tensor:
    return torch.stack(entries, dim=-1).view(*entries[0].shape, 3, 3)
