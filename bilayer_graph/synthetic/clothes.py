"""Clothes, hair and faces painted on the T-pose, so that every body of SMPL's format wears them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.body.body_model import BodyModel
from bilayer_graph.body.joints import COCO_NAMES, SMPL_JOINT_NAMES
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.patterns import Fabric, paint, sample_colour, sample_fabric

# A sample lies between two neighbours.
_SKIN = (
    *((0.97, 0.81, 0.71), (0.90, 0.70, 0.57), (0.78, 0.57, 0.43)),
    *((0.57, 0.38, 0.27), (0.33, 0.22, 0.16)),
)
_HAIR = (
    *((0.06, 0.05, 0.05), (0.14, 0.09, 0.07), (0.30, 0.19, 0.12)),
    *((0.62, 0.46, 0.27), (0.60, 0.59, 0.57)),
)


class Landmarks:
    """Heights and widths of a T-pose that clothes are cut by, in metres of the template.

    Args:
        body: The body whose template is measured.
    """

    def __init__(self, body: BodyModel) -> None:
        template = body.v_template
        joints = dict(zip(SMPL_JOINT_NAMES, (body.J_regressor @ template).tolist(), strict=True))
        points = dict(zip(COCO_NAMES, body.keypoints(template).tolist(), strict=True))
        self.shoulder = joints["left_shoulder"][0]
        self.wrist = joints["left_wrist"][0]
        self.hip = joints["left_hip"][1]
        self.ankle = joints["left_ankle"][1]
        self.neck = joints["neck"][1]
        # Wide hips reach further out than the shoulder joints.
        self.armpit = 0.5 * (joints["left_shoulder"][1] + joints["spine1"][1])
        self.back = joints["neck"][2]
        self.floor = template[:, 1].min().item()
        self.eye = points["left_eye"]
        self.nose = points["nose"]
        self.ear = points["left_ear"]

    def arm(self, points: Tensor) -> Tensor:
        """Return 0 at the shoulder, 1 at the wrist, negative elsewhere."""
        along = (points[:, 0].abs() - self.shoulder) / (self.wrist - self.shoulder)
        return torch.where(points[:, 1] > self.armpit, along, -1.0)

    def leg(self, points: Tensor) -> Tensor:
        """Return 0 at the hip, 1 at the ankle, negative above."""
        along: Tensor = (self.hip - points[:, 1]) / (self.hip - self.ankle)
        return along


class Cover(NamedTuple):
    """What covers P surface points.

    Attributes:
        shirt: Whether a shirt or dress does, ``[P]``.
        trousers: Whether trousers do, outside of shoes, ``[P]``.
        shoe: Whether a shoe does, ``[P]``.
        hair: Metres above the line where the hair begins, ``[P]``.
        arm: Place along the arm as ``Landmarks.arm``, ``[P]``.
        leg: Place along the leg as ``Landmarks.leg``, ``[P]``.
    """

    shirt: Tensor
    trousers: Tensor
    shoe: Tensor
    hair: Tensor
    arm: Tensor
    leg: Tensor


class Outfit:
    """The clothes, skin and hair of a batch of people.

    Args:
        draws: Random numbers of B samples.
        landmarks: Measures of the body that wears them.
    """

    def __init__(self, draws: Draws, landmarks: Landmarks) -> None:
        self.landmarks = landmarks
        # Shirts first, then trousers, so that one call paints both.
        fabrics = zip(sample_fabric(draws, "shirt"), sample_fabric(draws, "trousers"), strict=True)
        self.fabrics = Fabric(*(torch.cat(pair) for pair in fabrics))
        self.people = len(draws)
        self.skin = _blend(_SKIN, draws.uniform("skin"))
        self.hair = _blend(_HAIR, draws.uniform("hair") ** 1.5)
        self.shoe = sample_colour(draws, "shoe")
        self.sole = draws.uniform("sole", 1, low=0.05, high=0.95).expand(-1, 3)
        self.print = sample_colour(draws, "print")
        kind = draws.weighted("sleeve kind", [1, 4, 4])
        lengths = torch.tensor([[-0.06, 0.04], [0.18, 0.46], [0.82, 0.96]], device=draws.device)
        self.sleeve = _inside(lengths[kind], draws.uniform("sleeve"))
        kind = draws.weighted("trouser kind", [3, 5])
        lengths = torch.tensor([[0.28, 0.5], [0.82, 0.97]], device=draws.device)
        self.trouser_end = _inside(lengths[kind], draws.uniform("trousers"))
        self.shirt_end = draws.uniform("shirt end", low=-0.17, high=0.12)
        # One piece: a dress or an overall.
        one = draws.chance("one piece", 0.1)
        self.shirt_end = torch.where(
            one, draws.uniform("dress", low=0.15, high=0.6), self.shirt_end
        )
        self.neckline = draws.uniform("neckline", low=-0.03, high=0.035)
        self.cleft = draws.uniform("cleft", low=-0.06, high=0.1).clamp_min(0)
        self.shoe_top = draws.uniform("shoe top", low=-0.01, high=0.07)
        self.print_size = draws.uniform("print size", low=0.04, high=0.1)
        self.print_size = self.print_size * draws.chance("printed", 0.25)
        bald = draws.chance("bald", 0.06) * 10.0
        # Where the hair ends below (negative) or above the eyes: at the nape, the sides, the front.
        self.nape = draws.uniform("nape", low=-0.1, high=-0.04) + bald
        self.nape = self.nape - 0.12 * draws.chance("long hair", 0.35)
        self.temple = draws.uniform("temple", low=-0.02, high=0.03) + bald
        self.fringe = draws.uniform("fringe", low=0.035, high=0.07) + bald
        self.beard = draws.chance("beard", 0.15)

    def colours(self, points: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
        """Return the colours of surface points.

        Args:
            points: ``[P, 3]`` template coordinates of the points.
            sample: ``[P]`` the sample each point belongs to.

        Returns:
            RGB ``[P, 3]`` in [0, 1], and ``[P]`` whether the point is cloth.
        """
        on = self.cover(points, sample)
        in_sole = points[:, 1] < self.landmarks.floor + 0.018
        colour = self._head(points, sample)
        cloth = self._cloth(points, sample, on.arm > 0, on.shirt)
        colour = _put(colour, on.shirt | on.trousers, cloth)
        colour = _put(colour, on.shoe, self.shoe.index_select(0, sample))
        colour = _put(colour, in_sole, self.sole.index_select(0, sample))
        # Strands: thin stripes that run downwards.
        strand = 1 + 0.15 * (points[:, 0] * 900).sin() * (points[:, 2] * 700).cos()
        hair = self.hair.index_select(0, sample) * strand.unsqueeze(-1)
        return _put(colour, on.hair > 0, hair), on.trousers | on.shirt

    def cover(self, points: Tensor, sample: Tensor) -> Cover:
        """Return what covers surface points ``[P, 3]`` of the given samples ``[P]``."""
        arm, leg = self.landmarks.arm(points), self.landmarks.leg(points)
        shoe = points[:, 1] < self.landmarks.ankle + self.shoe_top.take(sample)
        trousers = (leg > -0.2) & (leg < self.trouser_end.take(sample)) & (arm < 0)
        shirt = self._in_shirt(points, sample, arm, leg)
        return Cover(shirt, trousers & ~shoe, shoe, self._hair(points, sample), arm, leg)

    def _cloth(self, points: Tensor, sample: Tensor, on_arm: Tensor, in_shirt: Tensor) -> Tensor:
        """Colour shirt or trousers; patterns run along arms as they run along the trunk."""
        x, y, z = points.unbind(-1)
        along, across = torch.where(on_arm, x, y), torch.where(on_arm, y, x)
        cloth = paint(self.fabrics, sample + self.people * ~in_shirt, along, across)
        size = self.print_size.take(sample)
        chest = (y - self.landmarks.neck + 0.22).abs() < size
        printed = chest & (x.abs() < size) & (z > self.landmarks.back) & in_shirt
        return _put(cloth, printed, self.print.index_select(0, sample))

    def _in_shirt(self, points: Tensor, sample: Tensor, arm: Tensor, leg: Tensor) -> Tensor:
        front = points[:, 2] > self.landmarks.back
        cleft = (self.cleft.take(sample) - 1.2 * points[:, 0].abs()).clamp_min(0) * front
        collar = self.landmarks.neck + self.neckline.take(sample) - cleft
        on_trunk, on_arm = leg < self.shirt_end.take(sample), arm < self.sleeve.take(sample)
        in_shirt: Tensor = on_trunk & on_arm & (points[:, 1] < collar)
        return in_shirt

    def _head(self, points: Tensor, sample: Tensor) -> Tensor:
        """Colour skin with eyes, brows and mouth."""
        eye, nose = self.landmarks.eye, self.landmarks.nose
        front = points[:, 2] > 0.5 * (eye[2] + self.landmarks.ear[2])
        aside = points[:, 0].abs() - eye[0]
        above = points[:, 1] - eye[1]
        skin = self.skin.index_select(0, sample)
        hair = self.hair.index_select(0, sample)
        eyeball = front & ((aside / 0.016) ** 2 + (above / 0.008) ** 2 < 1)
        pupil = front & (aside**2 + above**2 < 0.0075**2)
        brow = front & (aside.abs() < 0.02) & ((above - 0.022).abs() < 0.005)
        below = points[:, 1] - nose[1]
        mouth = front & (points[:, 0].abs() < 0.024) & ((below + 0.036).abs() < 0.006)
        beard = (
            front
            & (below < -0.015)
            & (points[:, 1] > self.landmarks.neck)
            & self.beard.take(sample)
        )
        colour = _put(skin, beard, 0.7 * hair + 0.3 * skin)
        colour = _put(colour, mouth, skin * skin.new_tensor([0.85, 0.55, 0.55]))
        colour = _put(colour, brow, 0.6 * hair + 0.4 * skin)
        colour = _put(colour, eyeball, torch.full_like(skin, 0.85))
        return _put(colour, pupil, torch.full_like(skin, 0.1))

    def _hair(self, points: Tensor, sample: Tensor) -> Tensor:
        """Return metres above the hair's line, from the forehead over the temples to the nape."""
        ear, nose = self.landmarks.ear, self.landmarks.nose
        depth = (points[:, 2] - ear[2]) / (nose[2] - ear[2])
        nape, temple, fringe = (
            self.nape.take(sample),
            self.temple.take(sample),
            self.fringe.take(sample),
        )
        line = torch.lerp(nape, temple, ((depth + 0.4) / 0.7).clamp(0, 1))
        line = torch.lerp(line, fringe, ((depth - 0.35) / 0.3).clamp(0, 1))
        above = points[:, 1] - self.landmarks.eye[1] - line
        return torch.where(points[:, 0].abs() < 0.14, above, -1.0)


def _blend(palette: tuple[tuple[float, ...], ...], place: Tensor) -> Tensor:
    """Blend colours ``[B, 3]`` at places ``[B]`` in [0, 1) along a palette."""
    colours = torch.tensor(palette, device=place.device)
    place = place * (len(colours) - 1)
    lower = place.long()
    return torch.lerp(colours[lower], colours[lower + 1], (place - lower).unsqueeze(-1))


def _inside(bounds: Tensor, unit: Tensor) -> Tensor:
    return torch.lerp(bounds[:, 0], bounds[:, 1], unit)


def _put(colour: Tensor, where: Tensor, other: Tensor) -> Tensor:
    return torch.where(where.unsqueeze(-1), other, colour)
