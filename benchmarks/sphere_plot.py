"""The picture of the sphere benchmark."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from heat_flow import HeatFlow, Samples
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR = 1.0
"""Radians from the source from which on an error counts as far away; fixed before any training."""

BINS = np.linspace(0, np.pi, 13)


class Run(NamedTuple):
    """What came of one training: relative errors by distance, near and far, and its seconds."""

    curve: list[float]
    near: float
    far: float
    seconds: float


def best_mesh_only(runs: dict[str, list[Run]]) -> str:
    """Return the name of the mesh-only model with the lowest error far away."""
    return min(list(runs)[1:], key=lambda name: float(np.mean([run.far for run in runs[name]])))


def draw(
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
    from matplotlib.figure import Figure

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


def draw_curves(axes: "Axes", runs: dict[str, list[Run]]) -> None:
    """Draw the mean relative error by distance, and its range over the seeds."""
    from matplotlib.ticker import LogLocator, PercentFormatter

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
