"""Learn how heat spreads over a sphere: a mesh alone, or coupled with a coarse mesh.

    pip install -e ".[plot]"
    python examples/sphere_diffusion.py

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
import math
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from scipy.sparse import coo_matrix, csc_matrix, diags
from scipy.sparse.linalg import splu
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import SimpleConv

from bilayer_graph.cli.numbers import picture_path, positive
from bilayer_graph.errors import InputError
from bilayer_graph.graphs import multilevel_graph
from bilayer_graph.nn import BidirectionalFusionConv, BilayerBlock, GCNBlock, GroupNorm, StaticGraph

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, PercentFormatter
except ImportError as error:
    raise SystemExit(f'{error}. Pictures need the extra: pip install -e ".[plot]"') from error

FAR = 1.0
"""Radians from the source from which on an error counts as far away; fixed before any training."""

SPOT, LENGTH, DURATION = 0.2, 0.4, 0.3
"""Width of the spot, correlation length of the conductivity (radians), and time that passes."""

SOURCES, HELD_OUT_FIELDS = 4, 50
"""Spots on each conductivity field, and fields to test on."""

LEARNING_RATE = 5e-3
BINS = np.linspace(0, np.pi, 13)


def main() -> int:
    """Train and compare; return the exit status."""
    try:
        compare(parse_arguments())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parse_arguments() -> argparse.Namespace:
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
    parser.add_argument("--out", type=picture_path, default="out/sphere_diffusion.png")
    arguments = parser.parse_args()
    check_arguments(arguments)
    return arguments


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise :class:`InputError` unless the meshes and the models can be built."""
    if not 0 <= arguments.coarse < arguments.fine:
        problem, remedy = "not a coarser mesh", f"Give 0 to {arguments.fine - 1}"
        raise InputError("--coarse", arguments.coarse, problem, remedy)
    names = ["--channels", *["--mesh-channels"] * len(arguments.mesh_channels)]
    for name, channels in zip(names, [arguments.channels, *arguments.mesh_channels], strict=True):
        if channels < 16 or channels % 16:
            raise InputError(name, channels, "no multiple of 16", "Give 16, 32, 48 or so on")


class Samples(NamedTuple):
    """Inputs ``[S, N, 2]``, heat at the end ``[S, N]`` and distance from the source ``[S, N]``."""

    x: Tensor
    y: Tensor
    distance: Tensor


class HeatFlow:
    r"""Heat flow :math:`\dot u = \nabla \cdot (\kappa \nabla u)` on a triangle mesh.

    Linear finite elements (the cotangent Laplacian), lumped masses, and an L-stable Runge-Kutta
    method of second order, with one factorisation for all time steps.

    Args:
        mesh: A closed mesh of ``N`` vertices.
    """

    def __init__(self, mesh: trimesh.Trimesh) -> None:
        self.vertices, self.faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
        corners = self.vertices[self.faces]
        opposite = np.roll(corners, 1, axis=1) - np.roll(corners, -1, axis=1)
        area = np.linalg.norm(np.cross(opposite[:, 0], opposite[:, 1]), axis=1) / 2
        self.elements = opposite @ opposite.transpose(0, 2, 1) / (4 * area[:, None, None])
        self.mass = np.bincount(self.faces.ravel(), np.repeat(area / 3, 3))

    def stiffness(self, conductivity: np.ndarray) -> csc_matrix:
        """Return the stiffness matrix ``[N, N]`` for a conductivity ``[N]``."""
        values = self.elements * conductivity[self.faces].mean(axis=1)[:, None, None]
        row, column = np.repeat(self.faces, 3, axis=1), np.tile(self.faces, 3)
        return coo_matrix((values.ravel(), (row.ravel(), column.ravel()))).tocsc()

    def __call__(
        self, heat: np.ndarray, conductivity: np.ndarray, duration: float, steps: int = 10
    ) -> np.ndarray:
        """Return what becomes of heat ``[N, S]`` after a while."""
        stiffness, step = self.stiffness(conductivity), duration / steps
        gamma = 1 - math.sqrt(0.5)
        solver = splu((diags(self.mass) + gamma * step * stiffness).tocsc())
        for _ in range(steps):
            first = solver.solve(-stiffness @ heat)
            second = solver.solve(-stiffness @ (heat + (1 - gamma) * step * first))
            heat = heat + step * ((1 - gamma) * first + gamma * second)
        return heat


def draw_samples(flow: HeatFlow, fields: int, seed: list[int]) -> Samples:
    """Draw conductivity fields and spots of heat, and let the heat flow."""
    draw = np.random.default_rng(seed)
    rows: list[tuple[np.ndarray, ...]] = []
    for _ in range(fields):
        logarithm = smooth_field(flow.vertices, draw)
        source = draw.normal(size=(3, SOURCES))
        cosine = flow.vertices @ (source / np.linalg.norm(source, axis=0))
        distance = np.arccos(np.clip(cosine, -1, 1))
        heat = np.exp(-((distance / SPOT) ** 2) / 2)
        heat *= flow.mass.sum() / (flow.mass @ heat)  # 1 on average
        x = np.stack([SPOT * heat.T, np.tile(logarithm, (SOURCES, 1))], axis=-1)
        rows.append((x, flow(heat, np.exp(logarithm), DURATION).T, distance.T))
    columns = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Samples(*(torch.from_numpy(column).float() for column in columns))


def smooth_field(points: np.ndarray, draw: np.random.Generator, waves: int = 64) -> np.ndarray:
    """Draw a random field of unit variance, of values that are alike up to ``LENGTH`` apart."""
    frequency = draw.normal(size=(3, waves)) / LENGTH
    phase = draw.uniform(0, 2 * np.pi, waves)
    field: np.ndarray = np.cos(points @ frequency + phase).sum(axis=1) * math.sqrt(2 / waves)
    return field


class Readout(nn.Module):
    """Two layers from the features of a vertex to its heat."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = GroupNorm(channels, relu=True)
        self.hidden = nn.Linear(channels, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heat ``[B, N]``."""
        x = self.out(self.hidden(self.norm(x)).relu())
        return x.squeeze(-1)


class MeshOnly(nn.Module):
    """GCN blocks on the mesh: with each, a vertex hears from one edge further."""

    def __init__(self, graph: HeteroData, channels: int, blocks: int, hidden: int) -> None:
        super().__init__()
        self.fine = static_graph(graph, "fine")
        self.lift = nn.Linear(2, channels)
        self.blocks = nn.ModuleList(GCNBlock(channels, channels) for _ in range(blocks))
        self.readout = Readout(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heat ``[B, N]`` that comes of inputs ``[B, N, 2]``."""
        x, adjacency = self.lift(x), self.fine()
        for block in self.blocks:
            x = block(x, adjacency)
        x = self.readout(x)
        return x


class TwoScale(nn.Module):
    """Bilayer blocks on the mesh and a coarse mesh, tied by learnable fusion edges."""

    informs: Tensor

    def __init__(self, graph: HeteroData, channels: int, blocks: int) -> None:
        super().__init__()
        self.fine, self.coarse = static_graph(graph, "fine"), static_graph(graph, "coarse")
        informs = graph["fine", "informs", "coarse"].edge_index
        self.register_buffer("informs", informs, persistent=False)
        self.pool = SimpleConv("mean")
        self.lift = nn.Linear(2, channels)
        self.blocks = nn.ModuleList(
            BilayerBlock(channels, channels, fusion_conv(graph, channels // 2))
            for _ in range(blocks)
        )
        self.readout = Readout(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heat ``[B, N]`` that comes of inputs ``[B, N, 2]``."""
        pooled = self.pool((x, None), self.informs)
        both = self.lift(pooled), self.lift(x)
        adjacency = self.coarse(), self.fine()
        for block in self.blocks:
            both = block(both, adjacency)
        heat: Tensor = self.readout(both[1])
        return heat


def static_graph(graph: HeteroData, level: str) -> StaticGraph:
    """Return the adjacency inside a level."""
    edges = graph[level, "edge", level]
    return StaticGraph(edges.edge_index, edges.edge_weight)


def fusion_conv(graph: HeteroData, channels: int) -> BidirectionalFusionConv:
    """Return a fusion convolution between the coarse and the fine level."""
    edges = graph["coarse", "drives", "fine"]
    return BidirectionalFusionConv(channels, channels, edges.edge_index, edges.edge_weight)


def mesh_only(graph: HeteroData, channels: int, parameters: int) -> MeshOnly:
    """Return the deepest model of a width; its readout takes the parameters that are left."""
    rest = parameters - num_parameters(MeshOnly(graph, channels, 0, channels))
    blocks, rest = divmod(rest, num_parameters(GCNBlock(channels, channels)))
    if blocks < 1:
        problem = f"one block exceeds the {parameters} parameters of the two-scale model"
        raise InputError("--mesh-channels", channels, problem, "Give fewer channels")
    return MeshOnly(graph, channels, blocks, channels + rest // (channels + 2))


def num_parameters(model: nn.Module) -> int:
    """Return the number of learnable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


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


class Run(NamedTuple):
    """What came of one training: relative errors by distance, near and far, and its seconds."""

    curve: list[float]
    near: float
    far: float
    seconds: float


def compare(arguments: argparse.Namespace) -> None:
    """Train each model with each seed, print the errors and draw them."""
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
            run, predicted = train_and_test(model, samples, held_out, arguments)
            runs.setdefault(name, []).append(run)
            fields[name] = predicted[0]
            print(
                f"seed {seed}: {name}, {num_parameters(model)} parameters, {run.seconds:.0f} s: "
                f"near {run.near:.3f}, far {run.far:.3f}",
                flush=True,
            )
    print_summary(runs)
    draw_picture(runs, flow, held_out, fields, arguments.out)
    print(f"Picture: {arguments.out}")


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


def best_mesh_only(runs: dict[str, list[Run]]) -> str:
    """Return the name of the mesh-only model with the lowest error far away."""
    return min(list(runs)[1:], key=lambda name: float(np.mean([run.far for run in runs[name]])))


def draw_picture(
    runs: dict[str, list[Run]],
    flow: HeatFlow,
    held_out: Samples,
    fields: dict[str, Tensor],
    path: Path,
) -> None:
    """Draw error against distance, and the first held-out field with its predictions."""
    two_scale, mesh = fields[next(iter(runs))], fields[best_mesh_only(runs)]
    (_, logarithm), truth = held_out.x[0].unbind(-1), held_out.y[0]
    heat = {"vmin": 0.0, "vmax": float(truth.max()), "cmap": "inferno"}
    error = {"vmin": -0.3, "vmax": 0.3, "cmap": "RdBu_r"}
    rows = (
        [("heat: truth", truth, heat), ("mesh only", mesh, heat), ("two-scale", two_scale, heat)],
        [
            ("conductivity (log)", logarithm, {"vmin": -2.5, "vmax": 2.5, "cmap": "viridis"}),
            ("error, mesh only", mesh - truth, error),
            ("error, two-scale", two_scale - truth, error),
        ],
    )
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=[1, 1.35]))
    draw_curves(left.subplots(), runs)
    corners, front = look_at(flow, held_out.distance[0])
    for line, panels in zip(right.subplots(2, 3), rows, strict=True):
        for axes, (title, values, style) in zip(line, panels, strict=True):
            drawn = axes.tripcolor(*corners.T, front, values, shading="gouraud", **style)
            axes.set(title=title, aspect="equal")
            axes.axis("off")
        right.colorbar(drawn, ax=line[1:], shrink=0.8)
    figure.savefig(path, dpi=100)


def look_at(flow: HeatFlow, distance: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Turn the sphere, its source to the left edge; return the plane ``[N, 2]`` and its faces."""
    left = -flow.vertices[int(distance.argmin())]
    up = np.linalg.svd(left[None])[2][1]
    towards = np.cross(left, up)
    centre = flow.vertices[flow.faces].mean(axis=1)
    return flow.vertices @ np.stack([left, up], axis=1), flow.faces[centre @ towards > 0]


def draw_curves(axes: Axes, runs: dict[str, list[Run]]) -> None:
    """Draw the mean relative error by distance, and its range over the seeds."""
    middle = (BINS[1:] + BINS[:-1]) / 2
    for number, (name, several) in enumerate(runs.items()):
        curves = np.array([run.curve for run in several])
        axes.fill_between(
            middle, curves.min(0), curves.max(0), color=f"C{number}", alpha=0.25, lw=0
        )
        axes.plot(middle, curves.mean(0), "o-", color=f"C{number}", ms=3, label=name)
    axes.axvline(FAR, color="0.6", ls=":")
    axes.set(xlabel="distance from the source (rad)", ylabel="relative error", yscale="log")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.legend(framealpha=1)


if __name__ == "__main__":
    sys.exit(main())
