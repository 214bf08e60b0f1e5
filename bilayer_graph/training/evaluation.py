"""Evaluation: the errors of a model and of the mean body on held-out samples."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bilayer_graph.body import HUMAN, BodyModel
from bilayer_graph.models import BilayerHMR, HMROutput
from bilayer_graph.training import metrics

ERROR_NAMES = {
    "mpjpe": "MPJPE",
    "pa_mpjpe": "PA-MPJPE",
    "mesh_mpjpe": "mesh MPJPE",
    "mesh_pa_mpjpe": "mesh PA-MPJPE",
    "pve": "PVE",
    "smpl_pve": "SMPL PVE",
}
"""What :func:`body_errors` measures, as it is printed."""
Batch = dict[str, Tensor]


def body_errors(out: HMROutput, batch: Batch, model: BilayerHMR, body: BodyModel) -> Batch:
    """Return the errors of each sample in millimetres, shape ``[B]`` each.

    ``mpjpe`` and ``pa_mpjpe`` are the skeleton's (of a human: 12 joints, centred on the mid-hip;
    after Procrustes alignment), ``mesh_mpjpe`` and ``mesh_pa_mpjpe`` those of the joints regressed
    from the mesh, ``pve`` and ``smpl_pve`` the mean distance of all vertices of the full mesh,
    pelvis-centred, for the mesh branch and for the posed body model.
    """
    full = model.upsample(out.vertices)[-1]
    root = body.skeleton.root
    posed = body(out.betas, out.body_pose, out.global_orient).vertices
    return {
        "mpjpe": metrics.mpjpe(out.joints, batch["joints"], root),
        "pa_mpjpe": metrics.pa_mpjpe(out.joints, batch["joints"]),
        "mesh_mpjpe": metrics.mpjpe(out.mesh_joints, batch["joints"], root),
        "mesh_pa_mpjpe": metrics.pa_mpjpe(out.mesh_joints, batch["joints"]),
        "pve": metrics.pve(full, batch["vertices"]),
        "smpl_pve": metrics.pve(posed, batch["vertices"]),
    }


class Guess(Protocol):
    """An answer to compare a model with."""

    def errors(self, batch: Batch) -> Batch:
        """Return the errors of each sample in millimetres, as :func:`body_errors` names them."""


@dataclass(frozen=True)
class MeanBody:
    """The best answer that ignores the picture: the mean of the training bodies, in camera axes.

    Attributes:
        joints: ``[J, 3]``, metres.
        vertices: ``[V, 3]``, metres.
        root: Joints whose mean the joint errors are centred on.
    """

    joints: Tensor
    vertices: Tensor
    root: tuple[int, ...] = HUMAN.root

    def errors(self, batch: Batch) -> Batch:
        """Return the errors of each sample in millimetres, as :func:`body_errors` names them."""
        joints = self.joints.expand_as(batch["joints"])
        return _point_errors(joints, self.vertices.expand_as(batch["vertices"]), batch, self.root)


@dataclass(frozen=True)
class MeanPose:
    """An answer that is told where the body faces: the mean of the training bodies in body axes.

    Attributes:
        joints: ``[J, 3]``, metres.
        vertices: ``[V, 3]``, metres.
        root: Joints whose mean the joint errors are centred on.
    """

    joints: Tensor
    vertices: Tensor
    root: tuple[int, ...] = HUMAN.root

    @classmethod
    def of(cls, drawn: Batch, root: tuple[int, ...] = HUMAN.root) -> "MeanPose":
        """Return the mean of drawn bodies, each turned back to its own axes."""
        turn = drawn["global_orient"]
        joints, vertices = ((drawn[name] @ turn).mean(0) for name in ("joints", "vertices"))
        return cls(joints, vertices, root)

    def errors(self, batch: Batch) -> Batch:
        """Return the errors of each sample in millimetres, as :func:`body_errors` names them."""
        turn = batch["global_orient"].mT
        return _point_errors(self.joints @ turn, self.vertices @ turn, batch, self.root)


def _point_errors(joints: Tensor, vertices: Tensor, batch: Batch, root: tuple[int, ...]) -> Batch:
    return {
        "mpjpe": metrics.mpjpe(joints, batch["joints"], root),
        "pa_mpjpe": metrics.pa_mpjpe(joints, batch["joints"]),
        "pve": metrics.pve(vertices, batch["vertices"]),
    }


@torch.no_grad()
def evaluate(
    model: BilayerHMR, body: BodyModel, held_out: Iterable[Batch], guesses: Mapping[str, Guess]
) -> dict[str, Batch]:
    """Return the errors of every held-out sample, for the model and for what it must beat.

    Args:
        model: The model, in evaluation mode.
        body: The body that made the samples.
        held_out: Batches of samples.
        guesses: Other answers by name, such as ``{"mean body": MeanBody(..)}``.

    Returns:
        For ``"model"`` and each guess the errors in millimetres by name, shape ``[N]`` each.
    """
    rows: dict[str, list[Batch]] = {name: [] for name in ("model", *guesses)}
    for batch in held_out:
        out = model(batch["image"], batch["keypoints"])
        rows["model"].append(body_errors(out, batch, model, body))
        for name, guess in guesses.items():
            rows[name].append(guess.errors(batch))
    return {
        name: {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        for name, parts in rows.items()
    }
