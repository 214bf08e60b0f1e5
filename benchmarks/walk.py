"""A rendered video of somebody who walks, of whom all is known."""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from bilayer_graph.body import BodyModel, axis_angle_to_matrix
from bilayer_graph.body.joints import SMPL_JOINT_NAMES
from bilayer_graph.body.reduced import ReducedBody
from bilayer_graph.synthetic.backgrounds import sample_backgrounds
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.framing import Framing
from bilayer_graph.synthetic.people import Painter, paint_pixels
from bilayer_graph.synthetic.scenes import perspective_hits
from bilayer_graph.video import VideoWriter

SIZE = (480, 640)
RATE = 25.0
# Degrees along the longer side of the picture, seconds a step takes twice, metres a second.
_FIELD, _PERIOD, _SPEED = 50.0, 1.1, 0.5
# Joint and axis of SMPL; degrees in the middle of the swing, its size, and its phase in turns.
_SWINGS = (
    *(("left_hip", 0, -8, 25, 0.0), ("right_hip", 0, -8, 25, 0.5)),
    *(("left_knee", 0, 28, 26, 0.2), ("right_knee", 0, 28, 26, 0.7)),
    *(("left_shoulder", 2, -68, 0, 0.0), ("right_shoulder", 2, 68, 0, 0.0)),
    *(("left_collar", 1, 0, 12, 0.5), ("right_collar", 1, 0, 12, 0.5)),
    *(("left_elbow", 1, -30, 12, 0.5), ("right_elbow", 1, 30, 12, 0.5)),
)


class Walk(NamedTuple):
    """Somebody in T frames, camera axes, metres.

    Attributes:
        rotations: Of the 24 bones, ``[T, 24, 3, 3]``.
        joints: The skeleton's 12 joints, pelvis at the origin, ``[T, 12, 3]``.
        place: Where the pelvis is, ``[T, 3]``.
        keypoints: COCO's 17 in pixels, ``[T, 17, 2]``.
    """

    rotations: Tensor
    joints: Tensor
    place: Tensor
    keypoints: Tensor


def render_walk(body: BodyModel, frames: int, path: Path, seed: int = 0) -> Walk:
    """Write the video of somebody who walks to and fro before a camera at rest."""
    time = torch.arange(frames) / RATE
    reduced = ReducedBody(body, torch.arange(len(body.v_template)))
    draws = Draws(seed, torch.zeros(1, dtype=torch.long))
    betas = draws.normal("betas", reduced.num_betas).clamp(-1.5, 1.5).expand(frames, -1)
    bones = reduced.place(reduced.absolute(_gait(time)), betas)
    points, focal = reduced.keypoints(bones), max(SIZE) / 2 / math.tan(math.radians(_FIELD) / 2)
    framing = Framing(_path(time), torch.full((frames,), focal), SIZE)
    writer = VideoWriter(path, (SIZE[1], SIZE[0]))
    room, painter = sample_backgrounds(draws, *SIZE), Painter(body)
    for number, naked in enumerate(reduced.vertices(bones)):
        vertices = painter.dress(draws, naked[None])
        row = Framing(framing.place[number : number + 1], framing.focal[:1], SIZE)
        hits = perspective_hits(row, vertices, body.faces)
        picture = room.clone()
        paint_pixels(picture, hits, painter(draws, vertices, hits))
        pixels = picture[0].mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        writer.add(Image.fromarray(pixels), float(time[number]))
    writer.close()
    return Walk(bones.turn, reduced.joints(bones), framing.place, framing.project(points))


def _gait(time: Tensor) -> Tensor:
    """Return rotations relative to the parents ``[T, 24, 3, 3]``, the first in camera axes."""
    angles = torch.zeros(len(time), 24, 3)
    for name, axis, middle, size, phase in _SWINGS:
        swing = torch.sin(2 * math.pi * (time / _PERIOD + phase))
        angles[:, SMPL_JOINT_NAMES.index(name), axis] = torch.deg2rad(middle + size * swing)
    turns = axis_angle_to_matrix(angles)
    heading = torch.zeros(len(time), 3)
    heading[:, 1] = 0.6 * time
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    turns[:, 0] = upright @ axis_angle_to_matrix(heading)
    return turns


def _path(time: Tensor) -> Tensor:
    """Return where the pelvis is, ``[T, 3]``."""
    aside = 0.6 * torch.sin(_SPEED * time)
    bounce = 0.02 * torch.cos(4 * math.pi * time / _PERIOD)
    return torch.stack([aside, bounce, 3.4 + 0.5 * torch.cos(_SPEED * time)], dim=1)
