"""Measure every way of multiplying a mesh adjacency with a batch of features, sparse and dense.

    python benchmarks/sparse_vs_dense.py --quick
    python benchmarks/sparse_vs_dense.py --json results.json --plot results.png
    python benchmarks/sparse_vs_dense.py --quick --mesh mesh.obj --layer my_layers:MyLayer

``Y_b = A X_b`` for the row-normalised adjacency of a closed mesh and features ``[B, N, C]``. The
rules, and what each row does, are in benchmarks/README.md.
"""

import argparse
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import harness
import torch
from aggregation_backends import BACKENDS, DENSE, FLOOR, OURS
from aggregation_layer import own_layer
from aggregation_plot import draw
from aggregation_problem import Problem
from aggregation_run import BOTH, FORWARD, measure_point
from harness import DTYPES, MEGABYTE, Point, Report
from meshes import body_faces, read_mesh
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import mesh_graph

VERTICES, QUICK_VERTICES = (107, 431, 1723, 6890, 13348), (431, 1723)
BATCH, QUICK_BATCH = (1, 4, 16, 64), (16,)
CHANNELS, QUICK_CHANNELS = (64, 256, 512), (256,)
QUICK_SECONDS = 0.1
REFERENCES = OURS, FLOOR
# Share of the device's memory that inputs, outputs and intermediates may take together.
MEMORY_SHARE = 0.8


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write and draw; return the exit status."""
    try:
        arguments = parse(words)
        report = measure(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report.metadata["dense_overtakes"] = list(overtakes(report))
    print("", *report.metadata["dense_overtakes"], sep="\n")
    if arguments.json:
        report.write(arguments.json)
    if arguments.plot:
        draw(report, arguments.plot)
    return 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; ``--quick`` only changes what is not given."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=["float32"])
    meshes = parser.add_mutually_exclusive_group()
    meshes.add_argument("--vertices", nargs="+", type=int, default=VERTICES, metavar="N")
    meshes.add_argument("--mesh", type=Path, metavar="FILE", help="a mesh instead of the body")
    parser.add_argument("--batch", nargs="+", type=int, default=BATCH, metavar="B")
    parser.add_argument("--channels", nargs="+", type=int, default=CHANNELS, metavar="C")
    parser.add_argument(
        "--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS), metavar="NAME"
    )
    parser.add_argument(
        "--layer", nargs="+", default=[], metavar="MODULE:CLASS", help="layers of your own"
    )
    parser.add_argument(
        "--run-limit", type=float, default=5.0, help="skip a row if one run takes more seconds"
    )
    if parser.parse_args(words).quick:
        parser.set_defaults(
            vertices=QUICK_VERTICES,
            batch=QUICK_BATCH,
            channels=QUICK_CHANNELS,
            seconds=QUICK_SECONDS,
        )
    arguments = harness.read(parser, words)
    arguments.shape = None if arguments.mesh is None else read_mesh(arguments.mesh)
    # Table and picture are in units of the floor.
    arguments.backends = {name: BACKENDS[name] for name in [*arguments.backends, FLOOR]}
    arguments.backends |= {name: own_layer(name) for name in arguments.layer}
    return arguments


def measure(arguments: argparse.Namespace) -> Report:
    """Measure the grid, from small to large."""
    device: torch.device = arguments.device
    report = Report(harness.metadata(device, arguments.seed))
    columns = harness.ratio_columns(REFERENCES)
    print(harness.describe(report.metadata), harness.explain(columns), sep="\n")
    memory = memory_mb(device)
    for vertices, faces in topologies(report, arguments):
        (source, target), weight = mesh_graph(faces.to(device), vertices)
        for point in points(arguments, vertices):
            dtype = DTYPES[point["dtype"]]
            problem = Problem(source, target, weight.to(dtype), vertices, point["batch"])
            names = affordable(report, point, arguments.backends, arguments.run_limit, memory)
            backends = {name: arguments.backends[name] for name in names}
            measure_point(report, point, problem, backends, arguments.seconds, arguments.seed)
            report.print_point(point, REFERENCES)
            if arguments.json:
                report.write(arguments.json)
    return report


def topologies(report: Report, arguments: argparse.Namespace) -> Iterator[tuple[int, Tensor]]:
    """Yield number of vertices and triangles ``[F, 3]`` of the meshes, from small to large."""
    if arguments.shape is None:
        yield from ((number, body_faces(number)) for number in sorted(arguments.vertices))
    else:
        report.metadata["mesh"] = arguments.mesh.name
        yield len(arguments.shape.vertices), torch.tensor(arguments.shape.faces)


def points(arguments: argparse.Namespace, vertices: int) -> Iterator[Point]:
    """Yield the points of one mesh, from small to large."""
    sizes = product(sorted(arguments.batch), sorted(arguments.channels), arguments.dtype)
    for (batch, channels, dtype), direction in product(sizes, (FORWARD, BOTH)):
        yield {
            "op": "aggregation",
            "vertices": vertices,
            "batch": batch,
            "channels": channels,
            "device": str(arguments.device),
            "dtype": dtype,
            "pass": direction,
        }


def affordable(
    report: Report, point: Point, backends: Iterable[str], run_limit: float, memory: float
) -> list[str]:
    """Return the backends that a point is not too large for; the report names the others."""
    fitting = []
    for name in backends:
        seconds, megabytes = forecast(report, point, name)
        if seconds > run_limit:
            report.skip(point, name, f"skipped: one run would take about {seconds:.0f} s")
        elif megabytes > MEMORY_SHARE * memory:
            reason = f"skipped: needs about {megabytes / 1e3:.0f} of {memory / 1e3:.0f} GB"
            report.skip(point, name, reason)
        else:
            fitting.append(name)
    return fitting


def forecast(report: Report, point: Point, backend: str) -> tuple[float, float]:
    """Scale the largest row that a backend has so far: seconds of one run, and all memory in MB."""
    same = {"backend": backend, "pass": point["pass"], "dtype": point["dtype"]}
    rows = [row for row in report.results if harness.is_at(row, same)]
    if not rows:
        return 0.0, 0.0
    row = max(rows, key=lambda row: _features(row) * row["vertices"])
    growth = _features(point) / _features(row)
    # The dense product alone grows with the square of the vertices.
    work = growth * (point["vertices"] / row["vertices"] if backend == DENSE else 1)
    # Features and gradients in two layouts, and the dense adjacency, are there beside every row.
    held = (4 * _features(point) + point["vertices"] ** 2) * DTYPES[point["dtype"]].itemsize
    return work * row["median_ms"] / 1e3, growth * row["peak_mb"] + held / MEGABYTE


def memory_mb(device: torch.device) -> float:
    """Return how much memory the device has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] / MEGABYTE
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MEGABYTE


def overtakes(report: Report) -> Iterator[str]:
    """Say for each batch and number of channels at which size dense overtakes sparse."""
    keys = ("dtype", "pass", "batch", "channels")
    for values in dict.fromkeys(tuple(row[key] for key in keys) for row in report.results):  # type: ignore[literal-required]
        rows = [r for r in report.results if tuple(r[key] for key in keys) == values]  # type: ignore[literal-required]
        times = {(row["backend"], row["vertices"]): row["median_ms"] for row in rows}
        ratios = {
            vertices: times[DENSE, vertices] / times[OURS, vertices]
            for _, vertices in sorted(times)
            if (DENSE, vertices) in times and (OURS, vertices) in times
        }
        named = ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
        if ratios:
            yield f"{named}: {crossing(ratios)}"


def crossing(ratios: dict[int, float]) -> str:
    """Say at which sizes dense is faster than ours.

    Args:
        ratios: Time of dense over that of ours, by number of vertices; interpolated in logarithms.
    """
    sizes = sorted(ratios)
    edges = [float(sizes[0])]
    for low, high in pairwise(sizes):
        a, b = math.log(ratios[low]), math.log(ratios[high])
        if (a < 0) != (b < 0):
            edges.append(low * (high / low) ** (a / (a - b)))
    edges.append(float(sizes[-1]))
    # Dense is faster in every second span between the edges.
    spans = list(pairwise(edges))[int(ratios[sizes[0]] >= 1) :: 2]
    measured = f"(measured at {', '.join(map(str, sizes))} vertices)"
    if not spans:
        return f"dense is never faster {measured}"
    if spans == [(sizes[0], sizes[-1])]:
        return f"dense is always faster {measured}"
    ranges = " and ".join(f"{start:.0f} to {end:.0f}" for start, end in spans)
    return f"dense is faster from {ranges} vertices {measured}"


def _features(row: Any) -> int:
    return int(row["vertices"] * row["batch"] * row["channels"])


if __name__ == "__main__":
    sys.exit(main())
