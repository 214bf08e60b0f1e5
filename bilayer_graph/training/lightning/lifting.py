"""Training of a posed model on 2D keypoints, as a LightningModule."""

import copy

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from bilayer_graph.body import BodyModel
from bilayer_graph.models import BilayerHMR, PosedReadout, SkeletonOutput, body_template
from bilayer_graph.training import metrics
from bilayer_graph.training.evaluation import Batch
from bilayer_graph.training.finite import check_finite
from bilayer_graph.training.lifting import (
    mesh_edges,
    mesh_terms,
    parameter_groups,
    skeleton_terms,
    warm_up_hold_decay,
)

WEIGHT_DECAY = 0.01
MEAN_DECAY = 0.999
LARGEST_GRADIENT = 1.0
MESH_PARTS = ("mesh_features", "mesh_head", "fusions", "branches.1")
"""Names of the parameters that the skeleton alone does not need."""


class LiftingTraining(pl.LightningModule):
    """AdamW on samples without pictures, with an exponential mean of the weights.

    First the skeleton graph and the body alone; then, for the last ``mesh_share`` of the steps, the
    mesh branch and the fusion beside it, with the skeleton as it is: a mesh of 431 vertices costs
    ten times as much as the skeleton. Each part has a rise and a fall of the learning rate.

    Args:
        model: The model to train, of ``readout="posed"``.
        body: The body that made the data; used for validation.
        learning_rate: Highest learning rate.
        total_steps: Number of optimisation steps of the whole training.
        mesh_share: Share of the steps that train the mesh branch.
    """

    held_out: tuple[str, ...] = ("true", "noisy")
    """What the held-out samples are called."""

    edges: Tensor

    def __init__(
        self,
        model: BilayerHMR,
        body: BodyModel,
        learning_rate: float,
        total_steps: int,
        mesh_share: float = 0.04,
    ) -> None:
        super().__init__()
        self.model = model
        self.mean_model = copy.deepcopy(model).requires_grad_(False)
        self.body = body
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.skeleton_steps = round(total_steps * (1 - mesh_share))
        edges = mesh_edges(body_template(body, model.config.num_vertices).faces)
        self.register_buffer("edges", edges, persistent=False)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        loss = self.loss(batch)
        self.log("loss", loss, prog_bar=True)
        return check_finite("loss", loss, self.global_step)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of the skeleton graph alone, or of the whole model."""
        if self.global_step < self.skeleton_steps:
            patches = batch.get("patches")
            terms = skeleton_terms(self.model.forward_skeleton(batch["keypoints"], patches), batch)
        else:
            skeleton, vertices, joints = answer(self.model, batch)
            terms = skeleton_terms(skeleton, batch)
            terms |= mesh_terms(vertices, joints, batch, self.edges)
        return torch.stack(list(terms.values())).sum()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Choose what learns in this step."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(self.learns(name))

    def learns(self, name: str) -> bool:
        """Return whether a parameter learns in this step; a frozen encoder never does."""
        mesh = self.global_step >= self.skeleton_steps
        other = name.startswith("encoder.")
        return not other and any(part in name for part in MESH_PARTS) == mesh

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient; Lightning's own way refuses fused optimisers."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        check_finite("gradient", norm, self.global_step)

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Move the mean a little towards the weights, more in the first steps."""
        keep = min(MEAN_DECAY, (self.global_step + 1) / (self.global_step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.mean_model.parameters()), list(self.model.parameters()), 1 - keep
            )

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the errors of one batch, in millimetres, of the mean weights."""
        skeleton, vertices, mesh_joints = answer(self.mean_model, batch)
        values = {
            "mpjpe": metrics.mpjpe(skeleton.joints, batch["joints"], self.body.skeleton.root),
            "pa_mpjpe": metrics.pa_mpjpe(skeleton.joints, batch["joints"]),
            "mesh_pa_mpjpe": metrics.pa_mpjpe(mesh_joints, batch["joints"]),
            "pve": metrics.pve(vertices, batch["vertices"]),
        }
        for name, error in values.items():
            key = f"{self.held_out[dataloader_idx]}/{name}"
            self.log(key, error.mean(), batch_size=error.numel(), add_dataloader_idx=False)

    def share_of_rate(self, step: int) -> float:
        """Return the share of the highest learning rate at a step."""
        if step < self.skeleton_steps:
            return warm_up_hold_decay(step, self.skeleton_steps)
        mesh_steps = self.total_steps - self.skeleton_steps
        return warm_up_hold_decay(step - self.skeleton_steps, max(mesh_steps, 1))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW and its schedule."""
        groups = parameter_groups(self.model, WEIGHT_DECAY)
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.share_of_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def answer(model: BilayerHMR, batch: Batch) -> tuple[SkeletonOutput, Tensor, Tensor]:
    """Return what the skeleton says, the mesh and its joints, with the patches if there are any."""
    assert isinstance(model.readout, PosedReadout)
    return model.readout.parts(model.forward_patches(batch.get("patches"), batch["keypoints"]))
