"""A training run: its folder, its checkpoints, and how it goes on after an interruption."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader, Dataset

from bilayer_graph.errors import InputError
from bilayer_graph.models import BilayerHMR, save_model
from bilayer_graph.training.lightning.lifting import LiftingTraining
from bilayer_graph.training.lightning.paper import BilayerTraining
from bilayer_graph.training.sampler import FreshSamples

CHECKPOINT, WEIGHTS = "last.ckpt", "model.safetensors"
"""Files of a run: the whole state, for going on, and the weights, for use."""

# Lightning goes on without some of them, from another state than the one that was saved.
_PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "pytorch-lightning_version")


@dataclass(frozen=True)
class Run:
    """Where and how long a training runs.

    Attributes:
        out: Folder of the run.
        epochs: Number of epochs: after each the run is validated and saved.
        steps: Optimisation steps an epoch.
        precision: As Lightning takes it.
        resume: Whether to go on from the folder's checkpoint.
        overwrite: Whether a run that is in the folder may be lost.
        workers: Processes that make samples.
        devices: As Lightning takes it.
    """

    out: Path
    epochs: int
    steps: int
    precision: Any = "32-true"
    resume: bool = False
    overwrite: bool = False
    workers: int = 0
    devices: Any = "auto"

    @property
    def total_steps(self) -> int:
        """Optimisation steps of the whole training."""
        return self.epochs * self.steps


def prepare_folder(run: Run) -> None:
    """Make the run's folder, or check that a training can go on from it.

    Raises:
        InputError: If it holds a run that would be lost, none to go on from, or cannot be made.
    """
    last = run.out / CHECKPOINT
    if run.resume:
        _check_checkpoint(last)
        return
    held = [name for name in (CHECKPOINT, WEIGHTS) if (run.out / name).exists()]
    if held and not run.overwrite:
        remedy = "Give --resume to go on, --overwrite to lose it, or another folder"
        raise InputError("--out", run.out, f"holds a training ({', '.join(held)})", remedy)
    try:
        run.out.mkdir(parents=True, exist_ok=True)
        for name in held:
            (run.out / name).unlink()
    except OSError as error:
        remedy = "Give a folder that can be written to"
        raise InputError("--out", run.out, f"cannot be made ({error.strerror})", remedy) from error


def fit(
    run: Run,
    task: BilayerTraining | LiftingTraining,
    training_set: Dataset[Any],
    validation_sets: list[Dataset[Any]],
    batch_size: int | None,
) -> None:
    """Train.

    A training that was stopped at any moment and goes on has the same weights, to the bit, as one
    without interruption: samples and choices depend on the number of the step only, and a state is
    saved whole, at the end of each epoch.

    Args:
        run: Where and how long.
        task: What is trained.
        training_set: Its samples, or its batches where ``batch_size`` is ``None``.
        validation_sets: The same, held out.
        batch_size: Samples a step and device.

    Raises:
        InputError: If a file cannot be written, a checkpoint is of another training, or the loss
            is not finite.
    """
    began = _Began()
    trainer = pl.Trainer(
        max_epochs=run.epochs,
        precision=run.precision,
        devices=run.devices,
        strategy=_strategy(),
        # The paper's task; the other clips its own way.
        gradient_clip_val=1.0 if isinstance(task, BilayerTraining) else None,
        callbacks=[
            TQDMProgressBar(refresh_rate=10),
            ModelCheckpoint(run.out, filename=Path(CHECKPOINT).stem, enable_version_counter=False),
            ExportWeights(run.out / WEIGHTS),
            began,
        ],
        logger=TensorBoardLogger(run.out, name="log"),
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        use_distributed_sampler=False,
    )
    samples = _Samples(run, training_set, validation_sets, batch_size)
    last = run.out / CHECKPOINT if run.resume else None
    with warnings.catch_warnings():
        # One process makes the samples of small trainings faster than several do.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # A frozen encoder, and the mean of the weights, are meant to be.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        # The logger is there first; what a folder may hold is checked by prepare_folder.
        warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
        try:
            trainer.fit(task, datamodule=samples, ckpt_path=last, weights_only=True)
        except OSError as error:
            remedy = "Make room or give another folder; --resume goes on from the last checkpoint"
            raise InputError("--out", run.out, f"cannot be written ({error})", remedy) from error
        except InputError:
            raise
        except Exception as error:  # states of other trainings fit in many ways not
            if last is None or began.began:
                raise
            remedy = "Give the options of that training, or train without --resume"
            problem = f"of another training ({type(error).__name__}: {str(error)[:200]})"
            raise InputError("--resume", last, problem, remedy) from error


class _Samples(pl.LightningDataModule):
    """The loaders of a training; made on each device, where its number is known."""

    def __init__(
        self,
        run: Run,
        training_set: Dataset[Any],
        validation_sets: list[Dataset[Any]],
        batch_size: int | None,
    ) -> None:
        super().__init__()
        self.run = run
        self.training_set = training_set
        self.validation_sets = validation_sets
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the batches of this device."""
        trainer = self.trainer
        assert trainer is not None
        size = self.run.steps * (self.batch_size or 1)
        sampler = FreshSamples(size, trainer.global_rank, trainer.world_size)
        # Lightning sets the epoch that a training goes on with after it took the first indices.
        sampler.set_epoch(trainer.global_step // self.run.steps)
        return self._loader(self.training_set, sampler)

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """Return the held-out batches."""
        return [self._loader(held_out) for held_out in self.validation_sets]

    def _loader(
        self, samples: Dataset[Any], sampler: FreshSamples | None = None
    ) -> DataLoader[Any]:
        workers = self.run.workers
        return DataLoader(
            samples,
            self.batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
        )


class _Began(Callback):
    """Knows whether a training got so far that all of its checkpoint is restored."""

    began = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began = True


class ExportWeights(Callback):
    """A callback that writes the weights after every validation: an interrupted run leaves some."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the weights and print the errors."""
        if not trainer.is_global_zero:
            return
        save_model(trained_model(pl_module), self.path)
        errors = trainer.callback_metrics
        cells = [
            f"{name} {float(value):.1f}"
            for name, value in errors.items()
            if not name.startswith(("train", "loss"))
        ]
        trainer.print(f"epoch {trainer.current_epoch + 1}: " + ", ".join(cells) + " mm")


def trained_model(task: pl.LightningModule) -> BilayerHMR:
    """Return the model of a task that is to be used: the mean where there is one."""
    model = task.mean_model if isinstance(task, LiftingTraining) else task.model
    assert isinstance(model, BilayerHMR)
    return model


def _strategy() -> str:
    # The mesh branch has no gradient before its steps come.
    several = torch.cuda.device_count() > 1
    return "ddp_find_unused_parameters_true" if several else "auto"


def _check_checkpoint(last: Path) -> None:
    remedy = "Train without --resume"
    if not last.is_file():
        raise InputError("--resume", last, "no such checkpoint", remedy)
    try:
        state = torch.load(last, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no pickle end in errors of any kind
        raise InputError("--resume", last, "truncated, or no checkpoint", remedy) from error
    if not isinstance(state, dict) or not all(state.get(name) for name in _PARTS):
        raise InputError("--resume", last, "no checkpoint of a training", remedy)
