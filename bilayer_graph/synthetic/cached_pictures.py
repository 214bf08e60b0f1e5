"""Rendered people as a detector and a frozen encoder saw them, kept on disk to be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import Dataset

from bilayer_graph.body import BodyModel, look_at, mirror_joints, mirror_keypoints, mirror_rotations
from bilayer_graph.body.joints import COCO_TO_JOINTS
from bilayer_graph.body.mirror import COCO_LEFT_RIGHT
from bilayer_graph.body.reduced import ReducedBody
from bilayer_graph.errors import InputError
from bilayer_graph.pictures import keypoints_box, to_crop
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.kept_tensors import KeptTensors

# Noise on the detected keypoints, in crop coordinates: few pictures are seen many times.
_JITTER = 0.006
_REMEDY = "Make the folder with tools/picture_features.py"
_KEPT = KeptTensors(
    "pictures",
    "part of cached pictures",
    {
        **{"keypoints": (17, 3), "patches": (17, None), "joints": (12, 3)},
        **{"rotations": (24, 3, 3), "betas": (10,), "focal": (), "size": (2,)},
        **{"true": (17, 2), "visible": (17,)},
    },
    marks="visible",
)


class PicturedPeople(NamedTuple):
    """N people, each in a picture of its own.

    Attributes:
        keypoints: As detected, in pixels, and confidence, ``[N, 17, 3]``.
        patches: What the encoder's maps show at them, ``[N, 17, C]``, half precision.
        joints: In camera axes, metres, the pelvis at the origin, ``[N, 12, 3]``.
        rotations: Of the bones in camera axes, ``[N, 24, 3, 3]``.
        betas: Shape coefficients, ``[N, 10]``.
        focal: Focal length in pixels, ``[N]``.
        size: Width and height of the picture, ``[N, 2]``.
        true: True keypoints in pixels, ``[N, 17, 2]``.
        visible: Which of them are seen in the picture, ``[N, 17]``.
    """

    keypoints: Tensor
    patches: Tensor
    joints: Tensor
    rotations: Tensor
    betas: Tensor
    focal: Tensor
    size: Tensor
    true: Tensor
    visible: Tensor


class CachedPictures(Dataset[dict[str, Tensor]]):
    """People in pictures that were looked at before: item k is the k-th batch.

    Sample ``i`` of all batches depends on ``seed`` and ``i`` only: a random person, mirrored half
    of the time, the keypoints moved a little. Labels are in the axes of a camera that looks at the
    centre of the crop, as those of :class:`~bilayer_graph.synthetic.GeometrySamples`.

    Args:
        body: The body.
        vertex_index: The vertices to return, ``[N]``.
        people: The people, as :func:`read_people` gives them.
        batch_size: Samples an item.
        batches: Number of items; ``None`` for everybody once, in order and unchanged.
        seed: Seed of the samples.

    Sample: as of :class:`~bilayer_graph.synthetic.GeometrySamples`, without ``up`` and
    ``posture``, and
        - ``patches`` ``[B, 17, C]``: what the encoder's maps show at the keypoints.
    """

    def __init__(
        self,
        body: BodyModel,
        vertex_index: Tensor,
        people: PicturedPeople,
        batch_size: int,
        batches: int | None = None,
        seed: int = 0,
    ) -> None:
        self.body = ReducedBody(body, vertex_index)
        self.people = people
        self.batch_size = batch_size
        self.batches = batches
        self.seed = seed

    def __len__(self) -> int:
        if self.batches is not None:
            return self.batches
        return -(-len(self.people.focal) // self.batch_size)

    @torch.no_grad()
    def __getitem__(self, number: int) -> dict[str, Tensor]:
        first = range(len(self))[number] * self.batch_size
        index = torch.arange(first, first + self.batch_size)
        if self.batches is None:
            return self._sample(index[index < len(self.people.focal)])
        draws = Draws(self.seed, index)
        sample = self._sample(draws.integer("person", len(self.people.focal)))
        mirrored = self._mirrored(sample)
        other = draws.chance("mirrored", 0.5)
        for name, values in sample.items():
            chosen = other.view(-1, *[1] * (values.dim() - 1))
            sample[name] = torch.where(chosen, mirrored[name], values)
        jitter = _JITTER * draws.normal("jitter", 17, 2) * (sample["keypoints"][..., 2:] > 0)
        sample["keypoints"][..., :2] += jitter
        return sample

    def _sample(self, rows: Tensor) -> dict[str, Tensor]:
        people = PicturedPeople(*(values[rows] for values in self.people))
        centre, side = keypoints_box(people.keypoints)
        points, confidence = people.keypoints.split([2, 1], dim=-1)
        middle, focal = (centre - people.size / 2) / people.focal.unsqueeze(1), people.focal
        turn = look_at(middle)
        rotations = turn.unsqueeze(1) @ people.rotations
        found = to_crop(points, centre, side) * (confidence > 0)
        return {
            "keypoints": torch.cat([found, confidence], dim=-1),
            "keypoints_true": to_crop(people.true[:, list(COCO_TO_JOINTS)], centre, side),
            "patches": people.patches.float(),
            "joints": people.joints @ turn.mT,
            "vertices": self._vertices(rotations, people.betas),
            "rotations": rotations,
            "betas": people.betas,
            "centre": middle,
            "half": side / 2 / focal,
        }

    def _mirrored(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        """Mirror people; the patches are taken to be those of the mirrored pictures."""
        rotations = mirror_rotations(sample["rotations"])
        return {
            "keypoints": mirror_keypoints(sample["keypoints"]),
            "keypoints_true": mirror_joints(sample["keypoints_true"]),
            "patches": sample["patches"][:, list(COCO_LEFT_RIGHT)],
            "joints": mirror_joints(sample["joints"]),
            "vertices": self._vertices(rotations, sample["betas"]),
            "rotations": rotations,
            "betas": sample["betas"],
            "centre": sample["centre"] * torch.tensor([-1.0, 1.0]),
            "half": sample["half"],
        }

    def _vertices(self, rotations: Tensor, betas: Tensor) -> Tensor:
        return self.body.vertices(self.body.place(rotations, betas))


def patch_statistics(people: PicturedPeople) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of the patches, ``[C]`` each."""
    seen = people.patches[people.keypoints[..., 2] > 0].float()
    return seen.mean(0), seen.std(0)


def write_people(path: str | Path, people: PicturedPeople) -> None:
    """Write a part of a folder, replaced in one step so that no reader meets half a file."""
    unfinished = Path(path).with_suffix(".partial")
    save_file({name: value.contiguous() for name, value in people._asdict().items()}, unfinished)
    unfinished.replace(path)


def read_people(folder: str | Path) -> PicturedPeople:
    """Read the parts of a folder, those of ``tools/picture_features.py``.

    Raises:
        InputError: If there are none, or one of them is of another kind.
    """
    paths = sorted(Path(folder).glob("*.safetensors"))
    if not paths:
        raise InputError("pictures", folder, "no parts (*.safetensors) in this folder", _REMEDY)
    parts = [PicturedPeople(**_KEPT.read(path)) for path in paths]
    sizes = {part.patches.shape[1:] for part in parts}
    if len(sizes) > 1:
        raise InputError("pictures", folder, "parts of several encoders", _REMEDY)
    people = PicturedPeople(*(torch.cat(values) for values in zip(*parts, strict=True)))
    if not len(people.focal):
        raise InputError("pictures", folder, "nobody was found in any picture", _REMEDY)
    return people
