"""Fine-tuning of a posed model on pictures that were looked at before, as a LightningModule."""

import math

import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from bilayer_graph.body import BodyModel
from bilayer_graph.models import BilayerHMR
from bilayer_graph.training.evaluation import Batch
from bilayer_graph.training.finite import check_finite
from bilayer_graph.training.lifting import parameter_groups
from bilayer_graph.training.lightning.lifting import LiftingTraining

PICTURE, BLIND = "pictured", "alone"
"""The halves of a batch: people with their pictures, and keypoints alone."""

WEIGHT_DECAY = 0.02
# The adapter starts at 0, all else is trained already.
_ADAPTER_RATE = 5.0


class PicturedTraining(LiftingTraining):
    """AdamW with a cosine on batches half of pictures and half of keypoints alone.

    So the model learns to use the picture, and stays good without one. First the skeleton graph
    and the body alone; for the last ``mesh_share`` of the steps the mesh branch beside them.

    Args:
        model: The trained model, of ``readout="posed"``, with ``backbone="movenet"``.
        body: The body that made the data.
        learning_rate: Highest learning rate; the adapter's is five times as high.
        total_steps: Number of optimisation steps of the whole training.
        mesh_share: Share of the steps that train the mesh branch, too.
        picture: Whether the pictures are shown; the control learns from the same samples without.
    """

    held_out = ("pictured", "true", "noisy")

    def __init__(
        self,
        model: BilayerHMR,
        body: BodyModel,
        learning_rate: float,
        total_steps: int,
        mesh_share: float = 0.04,
        picture: bool = True,
    ) -> None:
        super().__init__(model, body, learning_rate, total_steps, mesh_share)
        self.picture = picture

    def training_step(self, batch: dict[str, Batch], batch_idx: int) -> Tensor:  # type: ignore[override]
        """Return the mean loss of both halves."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            # Dropout depends on the number of the step only: a training that goes on is the same.
            torch.manual_seed(self.global_step * self.trainer.world_size + self.global_rank)
            seen, alone = self.loss(self._shown(batch[PICTURE])), self.loss(batch[BLIND])
        loss = (seen + alone) / 2
        self.log_dict({"loss": loss, "loss/pictured": seen, "loss/alone": alone}, prog_bar=True)
        return check_finite("loss", loss, self.global_step)

    def learns(self, name: str) -> bool:
        """Return whether a parameter learns: all that the loss reaches but a frozen encoder."""
        return not name.startswith("encoder.")

    def share_of_rate(self, step: int) -> float:
        """Return the share of the highest learning rate at a step: half a cosine."""
        return 0.5 * (1 + math.cos(math.pi * step / self.total_steps))

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the errors of one batch, in millimetres, of the mean weights."""
        super().validation_step(self._shown(batch), batch_idx, dataloader_idx)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW and its schedule."""
        groups = parameter_groups(self.model, WEIGHT_DECAY)
        adapter = {id(p) for n, p in self.model.named_parameters() if "lin_patch" in n}
        split = [
            {
                **group,
                "params": [p for p in group["params"] if (id(p) in adapter) == own],
                "lr": self.learning_rate * (_ADAPTER_RATE if own else 1),
            }
            for group in groups
            for own in (True, False)
        ]
        optimizer = torch.optim.AdamW(split, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.share_of_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _shown(self, batch: Batch) -> Batch:
        hidden = set() if self.picture else {"patches"}
        return {name: values for name, values in batch.items() if name not in hidden}
