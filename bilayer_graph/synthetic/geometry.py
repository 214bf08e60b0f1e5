"""Samples without pictures: 2D keypoints in, joints and vertices out, thousands a second."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from bilayer_graph.body import BodyModel, look_at
from bilayer_graph.body.reduced import ReducedBody
from bilayer_graph.synthetic.detections import Detections, crop_box, detect, perfect
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.figures import facing, sample_figures
from bilayer_graph.synthetic.noise_bank import NoiseBank
from bilayer_graph.synthetic.pose_bank import PoseBank
from bilayer_graph.synthetic.viewpoints import sample_views

_BANK_SHARE = 0.35
# Samples made together: smaller products of matrices are rounded another way.
_FEWEST = 32


class GeometrySamples(Dataset[dict[str, Tensor]]):
    """People as a detector sees them, and where they are: item k is the k-th batch.

    Sample ``i`` of all batches depends on ``seed`` and ``i`` only. Labels are in the axes of a
    camera that looks at the centre of the crop, so that they do not depend on where in its picture
    a person stands.

    Args:
        body: The body.
        vertex_index: The vertices to return, ``[N]``.
        poses: Where the poses come from.
        batch_size: Samples an item.
        batches: Number of items.
        seed: Seed of the samples.
        noise: Whether a detector found the keypoints; otherwise they are true.
        bank: A real detector's errors, for a third of the samples.

    Sample (float32, crop coordinates in [-1, 1], metres in camera axes, pelvis at the origin):
        - ``keypoints`` ``[B, 17, 3]``: x, y, confidence in COCO's order; zeros where missed.
        - ``keypoints_true`` ``[B, 12, 2]``: the projected joints.
        - ``joints`` ``[B, 12, 3]``, ``vertices`` ``[B, N, 3]``.
        - ``rotations`` ``[B, 24, 3, 3]``: of the bones in camera axes.
        - ``betas`` ``[B, 10]``.
        - ``up`` ``[B, 3]``: against gravity. ``posture`` ``[B]`` bool: whose pose is one of the
          sampler's everyday postures.
        - ``centre`` ``[B, 2]``, ``half`` ``[B]``: the crop in tangents from the optical axis.
    """

    def __init__(
        self,
        body: BodyModel,
        vertex_index: Tensor,
        poses: PoseBank,
        batch_size: int,
        batches: int,
        seed: int = 0,
        noise: bool = True,
        bank: NoiseBank | None = None,
    ) -> None:
        self.body = ReducedBody(body, vertex_index)
        self.poses = poses
        self.batch_size = batch_size
        self.batches = batches
        self.seed = seed
        self.noise = noise
        self.bank = bank

    def __len__(self) -> int:
        return self.batches

    @torch.no_grad()
    def __getitem__(self, number: int) -> dict[str, Tensor]:
        first = range(self.batches)[number] * self.batch_size
        index = torch.arange(first, first + max(self.batch_size, _FEWEST))
        sample = self._samples(Draws(self.seed, index))
        return {name: values[: self.batch_size] for name, values in sample.items()}

    def _samples(self, draws: Draws) -> dict[str, Tensor]:
        figures = sample_figures(draws, self.poses, self.body)
        bones = figures.bones
        joints, points = self.body.joints(bones), self.body.keypoints(bones)
        views = sample_views(draws, joints)
        seen, front = views.project(points), facing(bones.turn)
        detections = self._detect(draws, seen, front)
        centre, side = crop_box(detections)
        side = side * draws.uniform("zoom", low=0.93, high=1.09)
        centre = centre + 0.04 * draws.uniform("shift", 2, low=-1.0) * side.unsqueeze(1)
        confidence = detections.confidence.unsqueeze(-1)
        found = _to_crop(detections.points, centre, side) * (confidence > 0)
        turn = look_at(centre)
        bones = bones.turned(turn)
        return {
            "keypoints": torch.cat([found, confidence], dim=-1),
            "keypoints_true": _to_crop(views.project(joints), centre, side),
            "joints": self.body.joints(bones),
            "vertices": self.body.vertices(bones),
            "rotations": bones.turn,
            "betas": figures.betas,
            "up": (turn @ figures.up.unsqueeze(-1)).squeeze(-1),
            "posture": figures.posture,
            "centre": centre,
            "half": side / 2,
        }

    def _detect(self, draws: Draws, points: Tensor, front: Tensor) -> Detections:
        if not self.noise:
            return perfect(points, front)
        detections = detect(draws, points, front)
        if self.bank is None:
            return detections
        real = self.bank.detect(draws, points, front)
        chosen = draws.chance("from the bank", _BANK_SHARE)
        pairs = zip(real, detections, strict=True)
        return Detections(*(_choose(chosen, *pair) for pair in pairs))


def _choose(chosen: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (first.dim() - 1)), first, second)


def _to_crop(points: Tensor, centre: Tensor, side: Tensor) -> Tensor:
    return 2 * (points - centre.unsqueeze(1)) / side.view(-1, 1, 1)
