"""The paper's training: its loss and keypoint mixing on pictures, as a LightningModule."""

import math

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from bilayer_graph.body import BodyModel, project
from bilayer_graph.models import BilayerHMR, HMROutput
from bilayer_graph.training import losses
from bilayer_graph.training.evaluation import Batch, body_errors
from bilayer_graph.training.finite import check_finite

FOCAL_COEFFICIENT = 5.0
SHAPE_COEFFICIENT = 0.1
WARM_UP = 0.05


def total_loss(out: HMROutput, batch: Batch, vertex_index: Tensor) -> dict[str, Tensor]:
    r"""Return the terms of the paper's loss and their sum, ``"loss"``.

    .. math:: L = L_m + L_m^{j3d} + L_m^{j2d} + L_s + L_s^{j2d} + L_\theta + \lambda L_\beta

    Args:
        out: What the model says.
        batch: Samples as :class:`~bilayer_graph.synthetic.SyntheticBodies` gives them.
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


def mix_keypoints(batch: Batch, share: float, seed: int) -> Tensor:
    """Replace a random share of the detected joints by the true ones.

    Args:
        batch: Samples with ``keypoints`` ``[B, J, 3]`` and ``keypoints_true`` ``[B, J, 2]``.
        share: Probability of the truth for each joint, from 0 to 1.
        seed: Seed of the choice; with the number of the step a training that goes on after an
            interruption chooses as one without.

    Returns:
        ``[B, J, 3]``; a true joint has confidence 1.
    """
    detected = batch["keypoints"]
    true = torch.nn.functional.pad(batch["keypoints_true"], (0, 1), value=1.0)
    random = torch.Generator().manual_seed(seed)
    chosen = torch.rand(detected.shape[:2], generator=random).to(detected.device) < share
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
        share = 1 - self.global_step / self.total_steps
        # Devices see batches of their own.
        seed = self.global_step * self.trainer.world_size + self.global_rank
        keypoints = mix_keypoints(batch, share, seed)
        terms = total_loss(self.model(batch["image"], keypoints), batch, self.model.vertex_index)
        self.log("loss", terms["loss"], prog_bar=True)
        self.log_dict({f"train/{name}": term for name, term in terms.items()})
        return check_finite("loss", terms["loss"], self.global_step)

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
