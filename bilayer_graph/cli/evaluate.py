"""Measure a model on held-out synthetic people."""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from bilayer_graph.body import BodyModel
from bilayer_graph.cli.numbers import count, positive
from bilayer_graph.cli.train import HELD_OUT_SEED, read_motion
from bilayer_graph.detection import MoveNetDetector
from bilayer_graph.models import SHIPPED_WEIGHTS, BilayerHMR, PosedReadout, load_model
from bilayer_graph.models.lifting import FIELD_OF_VIEW
from bilayer_graph.predict import Predictor
from bilayer_graph.synthetic import GeometrySamples, PoseBank, Scenes, SyntheticBodies
from bilayer_graph.training.evaluation import ERROR_NAMES, MeanBody, evaluate
from bilayer_graph.training.lifted_errors import lifted_errors
from bilayer_graph.training.whole_pictures import evaluate_pictures

MEAN_SEED = 1_000_004
MEAN_SAMPLES = 1024
_BATCH = 250


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--weights", type=Path, default=SHIPPED_WEIGHTS, help="checkpoint")
    parser.add_argument("--body", type=Path, help="body file with SMPL's fields")
    parser.add_argument("--poses", type=Path, help="real poses, as tools/poses.py writes")
    parser.add_argument(
        "--hold-out", nargs="*", default=[], metavar="CLIP", help="clips of --poses to measure on"
    )
    parser.add_argument(
        "--pictures", type=positive, metavar="N", help="whole pictures in, the detector first"
    )
    parser.add_argument("--samples", type=positive, default=1500, help="held-out people a seed")
    parser.add_argument("--seeds", type=positive, default=3, help="sets of people")
    parser.add_argument("--plain", action="store_true", help="neither flip nor refinement")
    parser.add_argument("--workers", type=count, default=0, help="processes that render")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; return the exit status."""
    body = BodyModel.load(arguments.body)
    model = load_model(arguments.weights, body)
    if arguments.pictures is not None:
        print_whole_pictures(model, body, arguments)
    elif isinstance(model.readout, PosedReadout):
        print_lifting(model, body, arguments)
    else:
        print_pictures(model, body, arguments)
    return 0


def print_lifting(model: BilayerHMR, body: BodyModel, arguments: argparse.Namespace) -> None:
    """Print the errors of a model on people without pictures."""
    _, motion = read_motion(arguments.poses, arguments.hold_out)
    clips = f"{len(arguments.hold_out)} clips and postures" if arguments.hold_out else "postures"
    size = min(_BATCH, arguments.samples)
    batches = -(-arguments.samples // size)
    print(f"{batches * size} people of {clips}, {arguments.seeds} sets: mean ± spread of sets")
    for name, noise in (("true 2D", False), ("noisy 2D", True)):
        sets: list[dict[str, float]] = []
        for number in range(arguments.seeds):
            seed = HELD_OUT_SEED + number
            poses = PoseBank(body, motion, seed=seed, postures=4000)
            samples = GeometrySamples(body, model.vertex_index, poses, size, batches, seed, noise)
            rows = [
                lifted_errors(model, body, samples[i], not arguments.plain, not arguments.plain)
                for i in range(batches)
            ]
            sets.append({key: float(torch.cat([r[key] for r in rows]).mean()) for key in rows[0]})
        print(f"  {name}")
        for key in sets[0]:
            values = torch.tensor([errors[key] for errors in sets])
            spread = float(values.std()) if len(values) > 1 else 0.0
            digits = 3 if key == "near" else 1
            print(f"    {key:<9} {values.mean():7.{digits}f} ± {spread:.{digits}f}")


def print_whole_pictures(model: BilayerHMR, body: BodyModel, arguments: argparse.Namespace) -> None:
    """Print the errors from whole pictures, the detector's and the unknown camera's included."""
    _, motion = read_motion(arguments.poses, arguments.hold_out)
    poses = PoseBank(body, motion, seed=HELD_OUT_SEED, postures=4000)
    scenes = Scenes(body, poses, arguments.pictures, seed=HELD_OUT_SEED)
    predictor = Predictor(model, body, MoveNetDetector.load())
    result = evaluate_pictures(predictor, scenes)
    view = f"field of view taken for {FIELD_OF_VIEW:g} degrees"
    print(f"{arguments.pictures} whole pictures, {view}: mean ± 95 % interval (median)")
    print(f"  {'found':<10} {result.found:7.3f} of the people; of them:")
    for name, error in result.errors.items():
        known = error[error.isfinite()]
        digits = 1 if name in ("MPJPE", "PA-MPJPE", "PVE") else 3
        print(f"  {name:<10} {_interval(known, digits)}")


def print_pictures(model: BilayerHMR, body: BodyModel, arguments: argparse.Namespace) -> None:
    """Print the errors of a model of pictures, beside those of the mean body."""
    held_out = SyntheticBodies(body, arguments.samples, model.image_size, HELD_OUT_SEED)
    drawn = SyntheticBodies(body, MEAN_SAMPLES, 16, MEAN_SEED).batch(range(MEAN_SAMPLES))
    mean = MeanBody(drawn["joints"].mean(0), drawn["vertices"].mean(0))
    loader = DataLoader(held_out, batch_size=32, num_workers=arguments.workers)
    print(f"{arguments.samples} pictures, mm: mean ± 95 % interval (median)")
    for name, errors in evaluate(model, body, loader, mean).items():
        print(f"  {name}")
        for key, error in errors.items():
            print(f"    {ERROR_NAMES[key]:<14} {_interval(error)}")


def _interval(error: Tensor, digits: int = 1) -> str:
    interval = 1.96 * error.std() / len(error) ** 0.5
    return f"{error.mean():7.{digits}f} ± {interval:.{digits}f} ({error.median():.{digits}f})"
