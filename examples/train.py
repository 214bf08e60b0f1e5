"""Train the bilayer model on synthetic pictures of a body; nothing is downloaded.

    pip install -e ".[train]"
    python examples/train.py

The defaults take about ten minutes on 2 CPU cores. The weights that come with the package were made
by the command in docs/weights.md. Interrupted? `python examples/train.py --resume` goes on from the
last epoch.
"""

import argparse
import sys
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch.utils.data import DataLoader

from bilayer_graph.body import BodyModel
from bilayer_graph.command_line import positive
from bilayer_graph.data import SyntheticBodies
from bilayer_graph.errors import InputError
from bilayer_graph.models import VARIANTS, build_model, load_model, save_model
from bilayer_graph.training.evaluation import ERROR_NAMES
from evaluate import HELD_OUT_SEED, print_errors

try:
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
    from pytorch_lightning.loggers import TensorBoardLogger

    from bilayer_graph.training.lightning import BilayerTraining, FreshSamples
except ImportError as error:
    raise SystemExit(f'{error}. Training needs the extra: pip install -e ".[train]"') from error


def main() -> int:
    """Train; return the exit status."""
    try:
        train(parse_arguments())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variant", default="small", choices=sorted(VARIANTS))
    parser.add_argument("--body", type=Path, help="body file with SMPL's fields")
    parser.add_argument("--backbone-weights", help="torchvision name or local file")
    parser.add_argument("--epochs", type=positive, default=6)
    parser.add_argument("--steps", type=positive, default=100, help="optimisation steps an epoch")
    parser.add_argument("--batch-size", type=positive, default=32)
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--validation", type=positive, default=512, help="held-out pictures")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/train"))
    parser.add_argument("--resume", action="store_true", help="go on from OUT/last.ckpt")
    return parser.parse_args()


class ExportWeights(Callback):
    """Writes the weights after every validation, so that an interrupted run leaves usable ones."""

    def __init__(self, variant: str, path: Path) -> None:
        self.variant = variant
        self.path = path

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the weights and print the errors."""
        assert isinstance(pl_module, BilayerTraining)
        save_model(pl_module.model, self.variant, self.path)
        errors = trainer.callback_metrics
        cells = [f"{label} {errors[name]:.1f}" for name, label in ERROR_NAMES.items()]
        trainer.print(f"epoch {trainer.current_epoch + 1}: " + ", ".join(cells) + " mm")


def train(arguments: argparse.Namespace) -> None:
    """Train a variant, validate it and say how to use it."""
    pl.seed_everything(arguments.seed)
    body = BodyModel.load(arguments.body)
    model = build_model(arguments.variant, body, arguments.backbone_weights)
    batch, epoch_size = arguments.batch_size, arguments.steps * arguments.batch_size
    training_set = SyntheticBodies(
        body, arguments.epochs * epoch_size, model.image_size, seed=arguments.seed
    )
    held_out = SyntheticBodies(body, arguments.validation, model.image_size, seed=HELD_OUT_SEED)
    workers = {"num_workers": arguments.workers, "persistent_workers": arguments.workers > 0}
    loader = DataLoader(training_set, batch, sampler=FreshSamples(epoch_size), **workers)
    validation_loader = DataLoader(held_out, batch, **workers)

    weights = arguments.out / "model.safetensors"
    last = arguments.out / "last.ckpt"
    if arguments.resume:
        check_resumable(last, weights, body, arguments.variant)
    arguments.out.mkdir(parents=True, exist_ok=True)
    trainer = pl.Trainer(
        max_epochs=arguments.epochs,
        precision=arguments.precision,
        gradient_clip_val=1.0,
        callbacks=[
            TQDMProgressBar(refresh_rate=10),
            ModelCheckpoint(arguments.out, filename="last", enable_version_counter=False),
            ExportWeights(arguments.variant, weights),
        ],
        logger=TensorBoardLogger(arguments.out, name="log"),
        num_sanity_val_steps=0,
        log_every_n_steps=10,
    )
    task = BilayerTraining(model, body, arguments.lr, arguments.epochs * arguments.steps)
    trainer.fit(
        task,
        loader,
        validation_loader,
        ckpt_path=last if arguments.resume else None,
        weights_only=True,
    )
    print_errors(load_model(weights, body), body, arguments.validation)
    use = f"python examples/recover_mesh.py --weights {weights}"
    if arguments.body is not None:
        use += f" --body {arguments.body}"
    print(f"Weights: {weights}. Use them: {use}")


def check_resumable(last: Path, weights: Path, body: BodyModel, variant: str) -> None:
    """Raise :class:`InputError` unless a training of this variant and body can go on."""
    remedy = "Train without --resume"
    if not last.is_file():
        raise InputError("--resume", last, "no such checkpoint", remedy)
    try:
        torch.load(last, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
        raise InputError("--resume", last, "truncated, or no checkpoint", remedy) from error
    load_model(weights, body, variant)


if __name__ == "__main__":
    sys.exit(main())
