"""Train a model on synthetic people; nothing is downloaded."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, StackDataset

from bilayer_graph.body import BodyModel
from bilayer_graph.cli.numbers import count, positive, rate, seed, share
from bilayer_graph.errors import InputError
from bilayer_graph.models import (
    VARIANTS,
    BilayerHMR,
    MoveNetEncoder,
    PatchAdapter,
    PosedReadout,
    build_model,
    load_model,
    with_picture,
)
from bilayer_graph.synthetic import GeometrySamples, NoiseBank, PoseBank, SyntheticBodies
from bilayer_graph.synthetic.cached_pictures import CachedPictures, patch_statistics, read_people
from bilayer_graph.synthetic.motion import read_poses

HELD_OUT_SEED = 1_000_003
# Postures of held-out samples; a bank of the training's size is not needed.
_HELD_OUT_POSTURES = 4000
_VALIDATION_BATCH = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--variant", default="small", choices=sorted(VARIANTS))
    parser.add_argument("--body", type=Path, help="body file with SMPL's fields")
    parser.add_argument("--backbone-weights", help="torchvision name or local file (paper)")
    parser.add_argument("--poses", type=Path, help="real poses, as tools/poses.py writes (small)")
    parser.add_argument(
        "--hold-out",
        nargs="*",
        default=[],
        metavar="CLIP",
        help="clips of --poses that are for validation only",
    )
    parser.add_argument(
        "--noise-bank",
        type=Path,
        help="a detector's errors, as tools/picture_features.py writes (small)",
    )
    parser.add_argument("--init", type=Path, metavar="WEIGHTS", help="begin with these weights")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="fine-tune on cached pictures (small)"
    )
    parser.add_argument(
        "--no-picture",
        action="store_true",
        help="control: the samples of --pictures, keypoints only",
    )
    parser.add_argument("--epochs", type=positive, default=6)
    parser.add_argument("--steps", type=positive, default=500, help="optimisation steps an epoch")
    parser.add_argument("--batch-size", type=positive, help="default: 512 (small), 32 (paper)")
    parser.add_argument(
        "--lr",
        type=rate,
        help="highest learning rate; default: 1.5e-3 (small), 2e-3 (paper), 2e-4 (--pictures)",
    )
    parser.add_argument(
        "--mesh-share",
        type=share,
        default=0.04,
        help="share of the steps that train the mesh branch (small; default: %(default)s)",
    )
    parser.add_argument("--validation", type=positive, default=1000, help="held-out samples")
    parser.add_argument("--workers", type=count, default=0, help="processes that make samples")
    parser.add_argument("--precision", default="bf16-mixed", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--threads", type=positive, help="threads of torch; default: all cores")
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help="less memory: blocks are computed again in the backward pass",
    )
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/train"))
    parser.add_argument("--resume", action="store_true", help="go on from OUT/last.ckpt")
    parser.add_argument("--overwrite", action="store_true", help="lose the training in OUT")


def run(arguments: argparse.Namespace) -> int:
    """Train a variant and say how to use it; return the exit status."""
    try:
        import pytorch_lightning as pl

        from bilayer_graph.training.lightning.fit import WEIGHTS, Run, fit, prepare_folder
    except ImportError as error:
        remedy = 'Install the extra: pip install "bilayer_graph[train]"'
        raise InputError("train", error.name, "is not installed", remedy) from error
    settings = Run(
        arguments.out,
        arguments.epochs,
        arguments.steps,
        arguments.precision,
        arguments.resume,
        arguments.overwrite,
        arguments.workers,
    )
    prepare_folder(settings)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    pl.seed_everything(arguments.seed)
    body = BodyModel.load(arguments.body)
    model = _start(arguments, body)
    for block in model.blocks:
        block.checkpoint = arguments.checkpoint
    way = _way(arguments, model)
    fit(settings, *way(arguments, model, body, settings.total_steps))
    weights = arguments.out / WEIGHTS
    use = f"bilayer-graph recover PICTURE --weights {weights}"
    if arguments.body is not None:
        use += f" --body {arguments.body}"
    print(f"Weights: {weights}. Use them: {use}")
    return 0


def _start(arguments: argparse.Namespace, body: BodyModel) -> BilayerHMR:
    """Return the model that the training begins with."""
    if arguments.init is None:
        if arguments.pictures is not None:
            remedy = "Give --init with weights that were trained on keypoints"
            raise InputError("--pictures", arguments.pictures, "only fine-tunes a model", remedy)
        return build_model(arguments.variant, body, arguments.backbone_weights)
    model = load_model(arguments.init, body).train()
    return model if arguments.pictures is None else with_picture(model, body)


def _way(arguments: argparse.Namespace, model: BilayerHMR) -> Callable[..., Any]:
    """Return what makes the task and its samples."""
    if arguments.pictures is not None:
        return _with_cached_pictures
    if arguments.no_picture:
        remedy = "Give --pictures FOLDER, or leave it out"
        raise InputError("--no-picture", True, "is the control of a training on pictures", remedy)
    return _without_pictures if isinstance(model.readout, PosedReadout) else _with_pictures


def _without_pictures(
    arguments: argparse.Namespace, model: BilayerHMR, body: BodyModel, total_steps: int
) -> tuple[Any, Dataset[Any], list[Dataset[Any]], None]:
    """Return the task, its batches and the held-out ones, with true and with noisy keypoints."""
    from bilayer_graph.training.lightning import LiftingTraining

    size = arguments.batch_size or 512
    samples, validation = _geometry(arguments, model, body, size, total_steps)
    rate = arguments.lr or 1.5e-3
    task = LiftingTraining(model, body, rate, total_steps, arguments.mesh_share)
    return task, samples, validation, None


def _with_cached_pictures(
    arguments: argparse.Namespace, model: BilayerHMR, body: BodyModel, total_steps: int
) -> tuple[Any, Dataset[Any], list[Dataset[Any]], None]:
    """Return the task, batches half of pictures and half of keypoints, and the held-out ones."""
    from bilayer_graph.training.lightning import PicturedTraining
    from bilayer_graph.training.lightning.pictured import BLIND, PICTURE

    people, held_out = (read_people(arguments.pictures / name) for name in ("train", "held_out"))
    encoder = model.encoder
    assert isinstance(encoder, MoveNetEncoder)
    if people.patches.size(-1) != sum(encoder.channels):
        remedy = "Make the folder with tools/picture_features.py"
        raise InputError("--pictures", arguments.pictures, "patches of another encoder", remedy)
    for module in model.modules():
        # Weights that have seen pictures keep what they were trained with.
        if isinstance(module, PatchAdapter) and not module.lin_out.weight.any():
            module.standardise(*patch_statistics(people))
    index, half = model.vertex_index, (arguments.batch_size or 512) // 2
    samples, validation = _geometry(arguments, model, body, half, total_steps)
    pictured = CachedPictures(body, index, people, half, len(samples), arguments.seed + 1)
    both = StackDataset(**{PICTURE: pictured, BLIND: samples})
    seen = CachedPictures(body, index, held_out, _VALIDATION_BATCH)
    rate = arguments.lr or 2e-4
    share, shown = arguments.mesh_share, not arguments.no_picture
    task = PicturedTraining(model, body, rate, total_steps, share, shown)
    return task, both, [seen, *validation], None


def _geometry(
    arguments: argparse.Namespace, model: BilayerHMR, body: BodyModel, size: int, total_steps: int
) -> tuple[GeometrySamples, list[Dataset[Any]]]:
    """Return batches of keypoints alone, and the held-out ones, true and noisy."""
    motion, held_out = read_motion(arguments.poses, arguments.hold_out)
    index, seed = model.vertex_index, arguments.seed + 1
    noise = None if arguments.noise_bank is None else NoiseBank.load(arguments.noise_bank)
    poses = PoseBank(body, motion, seed=seed)
    batches = total_steps * _devices()
    samples = GeometrySamples(body, index, poses, size, batches, seed, bank=noise)
    bank = PoseBank(body, held_out, seed=HELD_OUT_SEED, postures=_HELD_OUT_POSTURES)
    batch = min(_VALIDATION_BATCH, arguments.validation)
    held_batches = -(-arguments.validation // batch)
    return samples, [
        GeometrySamples(body, index, bank, batch, held_batches, HELD_OUT_SEED, noisy)
        for noisy in (False, True)
    ]


def _with_pictures(
    arguments: argparse.Namespace, model: BilayerHMR, body: BodyModel, total_steps: int
) -> tuple[Any, Dataset[Any], list[Dataset[Any]], int]:
    """Return the paper's task, its rendered pictures and the held-out ones."""
    from bilayer_graph.training.lightning import BilayerTraining

    size = arguments.batch_size or 32
    number = total_steps * size * _devices()
    training_set = SyntheticBodies(body, number, model.image_size, seed=arguments.seed)
    held_out = SyntheticBodies(body, arguments.validation, model.image_size, seed=HELD_OUT_SEED)
    task = BilayerTraining(model, body, arguments.lr or 2e-3, total_steps)
    return task, training_set, [held_out], size


def _devices() -> int:
    """Return the number of devices that samples are needed for, as many for each."""
    return max(1, torch.cuda.device_count())


def read_motion(
    path: Path | None, hold_out: list[str]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return poses to train on and poses to validate on; no poses of a file that is not given.

    Raises:
        InputError: If the file cannot be used, lacks a clip, or has no other.
    """
    if path is None:
        if hold_out:
            raise InputError("--hold-out", hold_out, "there are no poses", "Give --poses FILE")
        return None, None
    poses = read_poses(path)
    missing = sorted(set(hold_out) - set(poses.clips))
    if missing:
        remedy = f"Give clips of the file, such as {poses.clips[0]}"
        raise InputError("--hold-out", missing, "no such clips", remedy)
    held = torch.tensor([clip in set(hold_out) for clip in poses.clips])
    if held.all():
        raise InputError("--hold-out", hold_out, "nothing is left to train on", "Hold out fewer")
    return poses.rotations[~held], poses.rotations[held] if held.any() else None
