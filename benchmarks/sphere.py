"""Learn how heat spreads over a sphere: a mesh alone, or coupled with a coarse mesh.

    python benchmarks/sphere.py --json sphere.json --plot sphere.png

A spot of heat lands somewhere on a sphere whose conductivity varies from place to place. Given the
spot and the conductivity at each of 642 vertices, a network predicts the heat after a while, in one
step. The truth is computed here: finite elements and implicit time steps. One model has the mesh
alone; the other ties it to a coarse mesh of 42 nodes through learnable fusion edges. This is how
weather models couple meshes: detail travels over the fine one, what comes from far over the coarse.

Both have the same number of parameters, optimiser, learning rate, steps and data. Relative error on
held-out fields, nearer and further than 1 rad from the source; mean (lowest to highest of 3 seeds):

    two-scale, 4 blocks of 32     0.073 (0.069 to 0.077)   0.130 (0.122 to 0.144)
    mesh only, 10 blocks of 48    0.105 (0.096 to 0.114)   0.267 (0.255 to 0.275)
    mesh only, 22 blocks of 32    0.097 (0.081 to 0.113)   0.205 (0.177 to 0.226)

Far away the coarse mesh saves 36 % (31 to 42) of the error of the best mesh-only model and 52 % (47
to 56) of the shallower one's. The best takes 44 s to train on one core against 27 s, and its 22
edges span the sphere: reach is not all that it lacks. It has its best learning rate of three (3e-3,
5e-3, 1e-2, on another seed); wider and shallower models were worse (6 blocks of 64: 0.41 far away),
and vertex positions as inputs changed little. GroupNorm tells the vertices of all models how hot
and how conductive the sphere is altogether, but not where.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import harness
import numpy as np
import torch
import trimesh
from harness import check_plot
from heat_flow import HeatFlow, Samples, draw_samples
from sphere_models import TwoScale, mesh_only, num_parameters
from sphere_plot import BINS, FAR, Run, draw
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from bilayer_graph.cli.main import exit_status
from bilayer_graph.cli.numbers import positive
from bilayer_graph.errors import InputError
from bilayer_graph.graphs import multilevel_graph

HELD_OUT_FIELDS = 50
LEARNING_RATE = 5e-3


def main(words: Sequence[str] | None = None) -> int:
    """Train and compare; return the exit status."""
    arguments = parse(words)
    return exit_status(lambda: run(arguments))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--fine", type=positive, default=3, help="icosphere of 10 * 4^FINE + 2 vertices"
    )
    parser.add_argument("--coarse", type=int, default=1, help="the same for the coarse mesh")
    parser.add_argument("--k", type=int, default=3, help="coarse nodes that a vertex is tied to")
    parser.add_argument("--blocks", type=positive, default=4, help="blocks of the two-scale model")
    parser.add_argument("--channels", type=int, default=32, help="channels of the two-scale model")
    parser.add_argument(
        "--mesh-channels", type=int, nargs="+", default=[48, 32], help="of each mesh-only model"
    )
    parser.add_argument(
        "--fields", type=positive, default=500, help="conductivity fields to train on"
    )
    parser.add_argument("--steps", type=positive, default=600, help="optimisation steps")
    parser.add_argument("--batch-size", type=positive, default=8)
    parser.add_argument("--seeds", type=positive, default=3, help="number of repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the results")
    return parser.parse_args(words)


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise :class:`InputError` unless the meshes and models can be built and the plot drawn."""
    if arguments.plot:
        check_plot(arguments.plot)
    if not 0 <= arguments.coarse < arguments.fine:
        problem, remedy = "not a coarser mesh", f"Give 0 to {arguments.fine - 1}"
        raise InputError("--coarse", arguments.coarse, problem, remedy)
    names = ["--channels", *["--mesh-channels"] * len(arguments.mesh_channels)]
    for name, channels in zip(names, [arguments.channels, *arguments.mesh_channels], strict=True):
        if channels < 16 or channels % 16:
            raise InputError(name, channels, "no multiple of 16", "Give 16, 32, 48 or so on")


def build_models(graph: HeteroData, arguments: argparse.Namespace) -> dict[str, nn.Module]:
    """Return the two-scale model and mesh-only models of as many parameters, by name."""
    two_scale = TwoScale(graph, arguments.channels, arguments.blocks)
    models: dict[str, nn.Module] = {
        f"two-scale, {arguments.blocks} blocks of {arguments.channels}": two_scale
    }
    for channels in arguments.mesh_channels:
        model = mesh_only(graph, channels, num_parameters(two_scale))
        models[f"mesh only, {len(model.blocks)} blocks of {channels}"] = model
    return models


def train(model: nn.Module, samples: Samples, steps: int, batch_size: int) -> None:
    """Fit the heat at the end."""
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(samples.x), (batch_size,))
        loss = (model(samples.x[chosen]) - samples.y[chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def predict(model: nn.Module, samples: Samples) -> Tensor:
    """Return the predicted heat ``[S, N]``."""
    return torch.cat([model(x) for x in samples.x.split(16)])


def relative_error(predicted: Tensor, samples: Samples, low: float, high: float) -> float:
    """Return the error of the vertices at distances from ``low`` to ``high``, over their heat."""
    inside = (samples.distance >= low) & (samples.distance < high)
    return float((predicted - samples.y)[inside].norm() / samples.y[inside].norm())


def run(arguments: argparse.Namespace) -> int:
    """Train each model with each seed; print, write and draw the errors."""
    check_arguments(arguments)
    fine, coarse = (trimesh.creation.icosphere(n) for n in (arguments.fine, arguments.coarse))
    graph = multilevel_graph({"fine": fine, "coarse": coarse}, k=arguments.k)
    flow = HeatFlow(fine)
    runs: dict[str, list[Run]] = {}
    for seed in range(arguments.seeds):
        samples = draw_samples(flow, arguments.fields, [seed, 0])
        held_out = draw_samples(flow, HELD_OUT_FIELDS, [seed, 1])
        torch.manual_seed(seed)
        fields: dict[str, Tensor] = {}
        for name, model in build_models(graph, arguments).items():
            errors, predicted = train_and_test(model, samples, held_out, arguments)
            runs.setdefault(name, []).append(errors)
            fields[name] = predicted[0]
            print(
                f"seed {seed}: {name}, {num_parameters(model)} parameters, {errors.seconds:.0f} s: "
                f"near {errors.near:.3f}, far {errors.far:.3f}",
                flush=True,
            )
    print_summary(runs)
    if arguments.json:
        write(runs, arguments)
    if arguments.plot:
        draw(runs, flow, held_out, fields, arguments.plot)
    return 0


def write(runs: dict[str, list[Run]], arguments: argparse.Namespace) -> None:
    """Write ``{"metadata": .., "results": [..]}``, a result a model and seed."""
    options = {key: value for key, value in vars(arguments).items() if key not in ("json", "plot")}
    results = [
        {"model": name, "seed": seed, **run._asdict()}
        for name, several in runs.items()
        for seed, run in enumerate(several)
    ]
    metadata = {**harness.metadata(torch.device("cpu"), 0), "options": options, "bins": [*BINS]}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"metadata": metadata, "results": results}, indent=1))


def train_and_test(
    model: nn.Module, samples: Samples, held_out: Samples, arguments: argparse.Namespace
) -> tuple[Run, Tensor]:
    """Train a model; return its errors and its predictions."""
    start = time.perf_counter()
    train(model, samples, arguments.steps, arguments.batch_size)
    seconds = time.perf_counter() - start
    predicted = predict(model, held_out)
    edges = [*BINS[:-1], 2 * np.pi]
    curve = [relative_error(predicted, held_out, *pair) for pair in pairwise(edges)]
    near, far = (relative_error(predicted, held_out, *p) for p in ((0, FAR), (FAR, 2 * np.pi)))
    return Run(curve, near, far, seconds), predicted


def print_summary(runs: dict[str, list[Run]]) -> None:
    """Print each model's errors over the seeds, and what the coarse mesh buys."""
    print(f"Relative error nearer and further than {FAR:g} rad: mean (lowest to highest seed)")
    for name, several in runs.items():
        near, far = ([getattr(run, part) for run in several] for part in ("near", "far"))
        print(f"  {name:<28} {spread(near)}   {spread(far)}")
    two_scale, *others = runs
    for name in others:
        pairs = zip(runs[two_scale], runs[name], strict=True)
        saved = [100 * (1 - ours.far / theirs.far) for ours, theirs in pairs]
        print(f"Error far away, two-scale below {name}: {spread(saved, 0)} %")


def spread(values: list[float], digits: int = 3) -> str:
    """Return the mean and the range of values."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return f"{np.mean(values):.{digits}f} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
