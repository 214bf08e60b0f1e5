"""Measure a model on held-out synthetic people."""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from bilayer_graph.body import BodyModel
from bilayer_graph.cli.numbers import count, json_path, positive
from bilayer_graph.cli.report import as_numbers, figure_text, print_families, write_numbers
from bilayer_graph.cli.train import HELD_OUT_SEED, read_motion
from bilayer_graph.detection import MoveNetDetector
from bilayer_graph.errors import InputError
from bilayer_graph.models import (
    SHIPPED_WEIGHTS,
    BilayerHMR,
    MoveNetEncoder,
    PosedReadout,
    load_model,
)
from bilayer_graph.models.lifting import FIELD_OF_VIEW
from bilayer_graph.predict import Predictor
from bilayer_graph.synthetic import GeometrySamples, PoseBank, Scenes, SyntheticBodies
from bilayer_graph.training.evaluation import ERROR_NAMES, MeanBody, evaluate
from bilayer_graph.training.families import lifted_families
from bilayer_graph.training.lifted_errors import lifted_errors
from bilayer_graph.training.measured import Measured
from bilayer_graph.training.whole_pictures import evaluate_pictures

MEAN_SEED = 1_000_004
MEAN_SAMPLES = 1024
_BATCH = 250
_MILLIMETRES = ("MPJPE", "PA-MPJPE", "PVE")


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
    parser.add_argument(
        "--no-picture", action="store_true", help="with --pictures: bodies from the keypoints alone"
    )
    parser.add_argument("--samples", type=positive, default=1500, help="held-out people a seed")
    parser.add_argument("--seeds", type=positive, default=3, help="sets of people")
    parser.add_argument("--plain", action="store_true", help="neither flip nor refinement")
    parser.add_argument("--workers", type=count, default=0, help="processes that render")
    parser.add_argument(
        "--json", type=json_path, metavar="FILE", help="all figures, of everybody and by family"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; return the exit status."""
    if arguments.no_picture and arguments.pictures is None:
        raise InputError("--no-picture", True, "nothing shows a picture", "Give --pictures N")
    body = BodyModel.load(arguments.body)
    model = load_model(arguments.weights, body)
    if arguments.pictures is not None:
        numbers = print_whole_pictures(model, body, arguments)
    elif isinstance(model.readout, PosedReadout):
        numbers = print_lifting(model, body, arguments)
    else:
        numbers = print_pictures(model, body, arguments)
    if arguments.json is not None:
        write_numbers(arguments.json, numbers)
    return 0


def print_lifting(
    model: BilayerHMR, body: BodyModel, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Print and return the errors of a model on people without pictures."""
    _, motion = read_motion(arguments.poses, arguments.hold_out)
    clips = f"{len(arguments.hold_out)} clips and postures" if arguments.hold_out else "postures"
    size = min(_BATCH, arguments.samples)
    batches = -(-arguments.samples // size)
    print(f"{batches * size} people of {clips}, {arguments.seeds} sets: mean ± spread of sets")
    numbers = {}
    for name, noise in (("true 2D", False), ("noisy 2D", True)):
        sets = []
        for number in range(arguments.seeds):
            seed = HELD_OUT_SEED + number
            poses = PoseBank(body, motion, seed=seed, postures=4000)
            samples = GeometrySamples(body, model.vertex_index, poses, size, batches, seed, noise)
            sets.append(_measure(model, body, samples, not arguments.plain))
        print(f"  {name}")
        overall = _print_sets(sets)
        together = Measured.join(sets)
        print_families(together, indent="    ")
        numbers[name] = {"sets": overall, **as_numbers(together)}
    return numbers


def _measure(
    model: BilayerHMR, body: BodyModel, samples: GeometrySamples, refine: bool
) -> Measured:
    parts = []
    for number in range(len(samples)):
        batch = samples[number]
        errors = lifted_errors(model, body, batch, refine, refine)
        everybody = torch.ones(len(batch["betas"]), dtype=torch.bool)
        parts.append(Measured(errors, everybody, lifted_families(batch)))
    return Measured.join(parts)


def _print_sets(sets: list[Measured]) -> dict[str, dict[str, float]]:
    """Print and return the mean and the spread of the means of several sets of people."""
    numbers = {}
    for key in sets[0].errors:
        values = torch.tensor([float(one.errors[key].mean()) for one in sets])
        mean, spread = float(values.mean()), float(values.std()) if len(values) > 1 else 0.0
        digits = 3 if key == "near" else 1
        print(f"    {key:<9} {mean:7.{digits}f} ± {spread:.{digits}f}")
        numbers[key] = {"mean": mean, "spread": spread}
    return numbers


def print_whole_pictures(
    model: BilayerHMR, body: BodyModel, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Print and return the errors from whole pictures, the detector and an unknown camera in them.

    Raises:
        InputError: If the model is to do without the picture, and cannot.
    """
    if arguments.no_picture:
        _hide_pictures(model)
    _, motion = read_motion(arguments.poses, arguments.hold_out)
    poses = PoseBank(body, motion, seed=HELD_OUT_SEED, postures=4000)
    scenes = Scenes(body, poses, arguments.pictures, seed=HELD_OUT_SEED)
    predictor = Predictor(model, body, MoveNetDetector.load())
    result = evaluate_pictures(predictor, scenes)
    view = f"field of view taken for {FIELD_OF_VIEW:g} degrees"
    seen = ", bodies from the keypoints alone" if arguments.no_picture else ""
    print(f"{arguments.pictures} whole pictures, {view}{seen}: mean ± 95 % interval (median)")
    everybody = result.everybody()
    print(f"  {'found':<10} {everybody.found:7.3f} of the people; of them:")
    for name, figure in everybody.errors.items():
        print(f"  {name:<10} {figure_text(figure, 1 if name in _MILLIMETRES else 3)}")
    print_families(result)
    return {"whole pictures": as_numbers(result)}


def _hide_pictures(model: BilayerHMR) -> None:
    """Let a model answer from the keypoints alone; without an encoder nobody shows it a picture."""
    if not isinstance(model.encoder, MoveNetEncoder | None):
        remedy = "Give weights of the variant small"
        raise InputError("--no-picture", True, "the model cannot do without", remedy)
    model.encoder = None


def print_pictures(
    model: BilayerHMR, body: BodyModel, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Print and return the errors of a model of pictures, beside those of the mean body."""
    held_out = SyntheticBodies(body, arguments.samples, model.image_size, HELD_OUT_SEED)
    drawn = SyntheticBodies(body, MEAN_SAMPLES, 16, MEAN_SEED).batch(range(MEAN_SAMPLES))
    guesses = {"mean body": MeanBody(drawn["joints"].mean(0), drawn["vertices"].mean(0))}
    loader = DataLoader(held_out, batch_size=32, num_workers=arguments.workers)
    print(f"{arguments.samples} pictures, mm: mean ± 95 % interval (median)")
    numbers = {}
    for name, errors in evaluate(model, body, loader, guesses).items():
        named = {ERROR_NAMES[key]: error for key, error in errors.items()}
        everybody = torch.ones(arguments.samples, dtype=torch.bool)
        result = Measured(named, everybody, {})
        print(f"  {name}")
        for key, figure in result.everybody().errors.items():
            print(f"    {key:<14} {figure_text(figure)}")
        numbers[name] = as_numbers(result)
    return numbers
