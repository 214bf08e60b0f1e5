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

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from bilayer_graph.body import BodyModel
from bilayer_graph.data import SyntheticBodies
from bilayer_graph.errors import InputError
from bilayer_graph.models import VARIANTS, BilayerHMR, build_model, load_model, save_model
from bilayer_graph.training import BilayerTraining, FreshSamples, MeanBody, body_errors

HELD_OUT_SEED = 1_000_003


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
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100, help="optimisation steps an epoch")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--validation", type=int, default=512, help="held-out pictures")
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
        cells = [f"{label} {errors[name]:.1f}" for name, label in SHOWN.items()]
        trainer.print(f"epoch {trainer.current_epoch + 1}: " + ", ".join(cells) + " mm")


SHOWN = {
    "mpjpe": "MPJPE",
    "pa_mpjpe": "PA-MPJPE",
    "mesh_mpjpe": "mesh MPJPE",
    "mesh_pa_mpjpe": "mesh PA-MPJPE",
    "pve": "PVE",
    "smpl_pve": "SMPL PVE",
}


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
    if arguments.resume and not last.is_file():
        raise InputError("--resume", last, "no such checkpoint", "Train without --resume first")
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
    report(load_model(weights, body), body, training_set, validation_loader)
    print(f"Weights: {weights}. Use them: python examples/recover_mesh.py --weights {weights}")


@torch.no_grad()
def report(
    model: BilayerHMR, body: BodyModel, training_set: SyntheticBodies, held_out: DataLoader
) -> None:
    """Print the held-out errors of the written weights beside those of the mean body."""
    sample = training_set.__getitems__(list(range(min(1024, len(training_set)))))
    mean = MeanBody(
        torch.stack([item["joints"] for item in sample]).mean(0),
        torch.stack([item["vertices"] for item in sample]).mean(0),
    )
    rows: dict[str, list[dict[str, torch.Tensor]]] = {"model": [], "mean body": []}
    for batch in held_out:
        out = model(batch["image"], batch["keypoints"])
        rows["model"].append(body_errors(out, batch, model, body))
        rows["mean body"].append(mean.errors(batch))
    print("Held-out errors in mm, mean (median) over the pictures:")
    for name, parts in rows.items():
        errors = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        cells = [f"{SHOWN[k]} {v.mean():.1f} ({v.median():.1f})" for k, v in errors.items()]
        print(f"  {name}: " + ", ".join(cells))


if __name__ == "__main__":
    sys.exit(main())
