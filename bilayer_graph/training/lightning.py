"""Training: the paper's loss, its keypoint mixing, and validation, as a LightningModule."""

import copy
import math
from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import Sampler

from bilayer_graph.body import BodyModel, project
from bilayer_graph.models import BilayerHMR, HMROutput, body_template
from bilayer_graph.training import losses, metrics
from bilayer_graph.training.evaluation import Batch, body_errors
from bilayer_graph.training.lifting import (
    mesh_edges,
    mesh_terms,
    parameter_groups,
    skeleton_terms,
    warm_up_hold_decay,
)

FOCAL_COEFFICIENT = 5.0
SHAPE_COEFFICIENT = 0.1
WARM_UP = 0.05
WEIGHT_DECAY = 0.01
MEAN_DECAY = 0.999
LARGEST_GRADIENT = 1.0


def total_loss(out: HMROutput, batch: Batch, vertex_index: Tensor) -> dict[str, Tensor]:
    r"""Return the terms of the paper's loss and their sum, ``"loss"``.

    .. math:: L = L_m + L_m^{j3d} + L_m^{j2d} + L_s + L_s^{j2d} + L_\theta + \lambda L_\beta

    Args:
        out: What the model says.
        batch: Samples as :class:`~bilayer_graph.data.SyntheticBodies` gives them.
        vertex_index: Row of the full mesh that each predicted vertex is.
    """
    true2d = batch["keypoints_true"]
    pose = torch.cat([out.global_orient.unsqueeze(1), out.body_pose], dim=1)
    true_pose = torch.cat([batch["global_orient"].unsqueeze(1), batch["body_pose"]], dim=1)
    focal = losses.focal_regression_loss(out.joints, batch["joints"])
    terms = {
        "mesh": losses.vertex_loss(out.vertices, batch["vertices"][:, vertex_index]),
        "mesh_joints": losses.joint_loss(out.mesh_joints, batch["joints"]),
        "mesh_2d": losses.projection_loss(project(out.mesh_joints, out.camera), true2d),
        "skeleton": FOCAL_COEFFICIENT * focal,
        "skeleton_2d": losses.projection_loss(project(out.joints, out.camera), true2d),
        "pose": losses.pose_loss(pose, true_pose),
        "shape": SHAPE_COEFFICIENT * losses.shape_loss(out.betas, batch["betas"]),
    }
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}


def mix_keypoints(batch: Batch, share: float) -> Tensor:
    """Replace a random share of the detected joints by the true ones.

    Args:
        batch: Samples with ``keypoints`` ``[B, J, 3]`` and ``keypoints_true`` ``[B, J, 2]``.
        share: Probability of the truth for each joint, from 0 to 1.

    Returns:
        ``[B, J, 3]``; a true joint has confidence 1.
    """
    detected = batch["keypoints"]
    true = torch.nn.functional.pad(batch["keypoints_true"], (0, 1), value=1.0)
    chosen = torch.rand(detected.shape[:2], device=detected.device) < share
    return torch.where(chosen.unsqueeze(-1), true, detected)


def warm_up_and_cosine(progress: float) -> float:
    """Return the share of the highest learning rate: a linear rise, then half a cosine to 0.

    Args:
        progress: Share of the training that is done, from 0 to 1.
    """
    if progress < WARM_UP:
        return (progress + 0.01) / (WARM_UP + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


class BilayerTraining(pl.LightningModule):
    """Adam with a warm-up and a cosine, the paper's loss and its keypoint mixing.

    The share of true joints falls linearly from 1 to 0 over the training, so that at the end the
    model sees detections only, as it will when it is used.

    Args:
        model: The model to train.
        body: The body that made the data; used for validation.
        learning_rate: Highest learning rate (the paper: 2.5e-4).
        total_steps: Number of optimisation steps of the whole training.
    """

    def __init__(
        self, model: BilayerHMR, body: BodyModel, learning_rate: float, total_steps: int
    ) -> None:
        super().__init__()
        self.model = model
        self.body = body
        self.learning_rate = learning_rate
        self.total_steps = total_steps

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        keypoints = mix_keypoints(batch, 1 - self.global_step / self.total_steps)
        terms = total_loss(self.model(batch["image"], keypoints), batch, self.model.vertex_index)
        self.log("loss", terms["loss"], prog_bar=True)
        self.log_dict({f"train/{name}": term for name, term in terms.items()})
        return terms["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the errors of one batch, in millimetres."""
        out = self.model(batch["image"], batch["keypoints"])
        for name, error in body_errors(out, batch, self.model, self.body).items():
            shown = name in ("mpjpe", "pa_mpjpe", "pve")
            self.log(name, error.mean(), prog_bar=shown, batch_size=error.numel())

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return Adam and its schedule."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warm_up_and_cosine(step / self.total_steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class LiftingTraining(pl.LightningModule):
    """AdamW on samples without pictures, with an exponential mean of the weights.

    First the skeleton graph and the body alone, then, for the last ``mesh_share`` of the steps, the
    whole model: a mesh of 431 vertices costs ten times as much as the skeleton.

    Args:
        model: The model to train, of ``readout="posed"``.
        body: The body that made the data; used for validation.
        learning_rate: Highest learning rate.
        total_steps: Number of optimisation steps of the whole training.
        mesh_share: Share of the steps that train the whole model.
    """

    def __init__(
        self,
        model: BilayerHMR,
        body: BodyModel,
        learning_rate: float,
        total_steps: int,
        mesh_share: float = 0.1,
    ) -> None:
        super().__init__()
        self.model = model
        self.mean_model = copy.deepcopy(model).requires_grad_(False)
        self.body = body
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.mesh_share = mesh_share
        edges = mesh_edges(body_template(body, model.config.num_vertices).faces)
        self.register_buffer("edges", edges, persistent=False)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        if self.global_step < self.total_steps * (1 - self.mesh_share):
            terms = skeleton_terms(self.model.forward_skeleton(batch["keypoints"]), batch)
        else:
            x = self.model.forward_graphs([], batch["betas"][:, :0], batch["keypoints"])
            skeleton, vertices, joints = self.model.readout.parts(x)
            terms = skeleton_terms(skeleton, batch)
            terms |= mesh_terms(vertices, joints, batch, self.edges)
        loss = torch.stack(list(terms.values())).sum()
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient; Lightning's own way refuses fused optimisers."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Move the mean a little towards the weights, more in the first steps."""
        keep = min(MEAN_DECAY, (self.global_step + 1) / (self.global_step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.mean_model.parameters()), list(self.model.parameters()), 1 - keep
            )

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the errors of one batch, in millimetres, of the mean weights."""
        out = self.mean_model(None, batch["keypoints"])
        values = {
            "mpjpe": metrics.mpjpe(out.joints, batch["joints"], self.body.skeleton.root),
            "pa_mpjpe": metrics.pa_mpjpe(out.joints, batch["joints"]),
            "mesh_pa_mpjpe": metrics.pa_mpjpe(out.mesh_joints, batch["joints"]),
            "pve": metrics.pve(out.vertices, batch["vertices"]),
        }
        for name, error in values.items():
            key = f"{('true', 'noisy')[dataloader_idx]}/{name}"
            self.log(key, error.mean(), batch_size=error.numel(), add_dataloader_idx=False)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW and its schedule."""
        groups = parameter_groups(self.model, WEIGHT_DECAY)
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warm_up_hold_decay(step, self.total_steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class FreshSamples(Sampler[int]):
    """Walks through a dataset once over many epochs, so that no sample is seen twice.

    Args:
        epoch_size: Number of samples an epoch.
    """

    def __init__(self, epoch_size: int) -> None:
        self.epoch_size = epoch_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this, also when a training is resumed."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of the current epoch."""
        first = self.epoch * self.epoch_size
        return iter(range(first, first + self.epoch_size))

    def __len__(self) -> int:
        return self.epoch_size
