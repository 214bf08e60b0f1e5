"""Measure the fusion product: features cross between 12 joints and a mesh over learnable weights.

    python benchmarks/fusion.py --quick
    python benchmarks/fusion.py --json results.json --plot results.png

``A_f = RowNorm(A_fs * W_f)`` and both its products. A backward pass gives the gradients of both
features and of the weights. ``two matmuls`` (``A @ X``) and ``two bmm`` (one product an item) have
the adjacencies for weights, the poolings have none, and ``3 nearest joints`` has 3 weights a vertex
instead of 12. What each row does is in benchmarks/README.md.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import harness
import torch
from fusion_backends import BMM, MATMUL, MESSAGES, OURS, Fusion, Pair, backends
from harness import DTYPES, MEGABYTE, Point, Report

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.models import Template, body_template

VERTICES, QUICK_VERTICES = (431, 1723, 6890), (431, 1723)
BATCH, QUICK_BATCH = (1, 4, 16, 64), (16,)
CHANNELS, QUICK_CHANNELS = (64, 256, 512), (256,)
QUICK_SECONDS = 0.5
FORWARD, BOTH = "forward", "forward+backward"
REFERENCES = OURS, MATMUL, BMM
# Message passing holds about so many tensors of messages in a backward pass.
MESSAGE_TENSORS, MEMORY_SHARE = 4, 0.6


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write and draw; return the exit status."""
    try:
        arguments = parse(words)
        report = measure(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("", *report.metadata["verdicts"], sep="\n")
    if arguments.json:
        report.write(arguments.json)
    if arguments.plot:
        draw(report, arguments.plot)
    return 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; ``--quick`` only changes what is not given."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--vertices", nargs="+", type=int, default=VERTICES, metavar="N")
    parser.add_argument("--batch", nargs="+", type=int, default=BATCH, metavar="B")
    parser.add_argument("--channels", nargs="+", type=int, default=CHANNELS, metavar="C")
    if parser.parse_args(words).quick:
        parser.set_defaults(
            vertices=QUICK_VERTICES,
            batch=QUICK_BATCH,
            channels=QUICK_CHANNELS,
            seconds=QUICK_SECONDS,
        )
    return harness.read(parser, words)


def measure(arguments: argparse.Namespace) -> Report:
    """Measure the grid, from small to large."""
    report = Report(harness.metadata(arguments.device, arguments.seed))
    report.metadata["verdicts"] = []
    columns = harness.ratio_columns(REFERENCES)
    print(harness.describe(report.metadata), harness.explain(columns), sep="\n")
    body = BodyModel.load()
    for vertices in sorted(arguments.vertices):
        template = body_template(body, vertices)
        fusions = prepare(template, arguments.device, DTYPES[arguments.dtype])
        for point in points(arguments, vertices):
            measure_point(report, point, fusions, template.joints.size(0), arguments.seconds)
            report.print_point(point, REFERENCES)
            report.metadata["verdicts"].append(verdict(report, point, template.joints.size(0)))
    return report


def prepare(template: Template, device: torch.device, dtype: torch.dtype) -> dict[str, Fusion]:
    """Return the ways of fusing for one template."""
    return backends(template.joints.to(device), template.vertices.to(device), dtype)


def points(arguments: argparse.Namespace, vertices: int) -> Iterator[Point]:
    """Yield the points of one mesh, from small to large."""
    sizes = product(sorted(arguments.batch), sorted(arguments.channels))
    for (batch, channels), direction in product(sizes, (FORWARD, BOTH)):
        yield {
            "op": "fusion product",
            "vertices": vertices,
            "batch": batch,
            "channels": channels,
            "device": str(arguments.device),
            "dtype": arguments.dtype,
            "pass": direction,
        }


def measure_point(
    report: Report, point: Point, fusions: dict[str, Fusion], num_joints: int, seconds: float
) -> None:
    """Measure every way that fits into memory at one point."""
    device, dtype = torch.device(point["device"]), DTYPES[point["dtype"]]
    x = sample(point, num_joints, report.metadata["seed"])
    runs = {name: task(fusion, x, point["pass"]) for name, fusion in fusions.items()}
    gigabytes = num_joints * x[1].numel() * dtype.itemsize / 1e9
    if MESSAGE_TENSORS * gigabytes > MEMORY_SHARE * memory_gb(device):
        del runs[MESSAGES]
        report.skip(point, MESSAGES, f"skipped: the messages one way take {gigabytes:.0f} GB")
    report.measure(point, runs, seconds)


def sample(point: Point, num_joints: int, seed: int) -> Pair:
    """Draw normal features of the joints and of the vertices."""
    device = torch.device(point["device"])
    generator = torch.Generator(device).manual_seed(seed)
    joints, vertices = (
        torch.randn(
            point["batch"], nodes, point["channels"], generator=generator, device=device
        ).to(DTYPES[point["dtype"]])
        for nodes in (num_joints, point["vertices"])
    )
    return joints, vertices


def task(fusion: Fusion, x: Pair, direction: str) -> Callable[[], object]:
    """Return the forward pass, or the forward and the backward pass, of one way."""

    def forward() -> object:
        with torch.no_grad():
            return fusion.run(x)

    def forward_backward() -> object:
        leaves = x[0].detach().requires_grad_(), x[1].detach().requires_grad_()
        # The features themselves serve as the gradient of the outputs, which are of their shape.
        return torch.autograd.grad(fusion.run(leaves), (*leaves, *fusion.weights), x)

    return forward if direction == FORWARD else forward_backward


def memory_gb(device: torch.device) -> float:
    """Return how much memory the device has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] / 1e9
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def verdict(report: Report, point: Point, num_joints: int) -> str:
    """Say what ours wins and loses at a point."""
    rows = {row["backend"]: row for row in report.results if harness.is_at(row, point)}
    words = f"{point['vertices']} x {point['batch']} x {point['channels']}, {point['pass']}: "
    if OURS not in rows:
        return words + "ours was not measured"
    ours = rows[OURS]["median_ms"]
    ratios = [f"{ours / rows[name]['median_ms']:.2f}" for name in (MATMUL, BMM)]
    words += f"{ratios[0]} x the time of two matmuls, {ratios[1]} x of two bmm"
    if MESSAGES in rows:
        words += f", {rows[MESSAGES]['median_ms'] / ours:.0f} x faster than message passing"
    if point["pass"] == FORWARD:
        numbers = (num_joints + 2 * point["vertices"]) * point["batch"] * point["channels"]
        limit = numbers * DTYPES[point["dtype"]].itemsize / MEGABYTE
        peak = rows[OURS]["peak_mb"]
        words += f", peak {peak:.1f} MB (its outputs and one operand: {limit:.1f} MB)"
    faster = [name for name, row in rows.items() if row["median_ms"] < ours]
    return f"{words}; faster than ours: {', '.join(faster) or 'nothing'}"


def draw(report: Report, path: Path) -> None:
    """Draw time against vertices, a panel a pass, at the middle batch and number of channels."""
    from matplotlib.figure import Figure

    batch = _middle({row["batch"] for row in report.results})
    channels = _middle({row["channels"] for row in report.results})
    figure = Figure(figsize=(13, 4.5), layout="constrained")
    for axes, direction in zip(figure.subplots(1, 2), (FORWARD, BOTH), strict=True):
        at = {"batch": batch, "channels": channels, "pass": direction}
        rows = [row for row in report.results if harness.is_at(row, at)]
        for name in dict.fromkeys(row["backend"] for row in rows):
            line = sorted((r["vertices"], r["median_ms"]) for r in rows if r["backend"] == name)
            axes.loglog(*zip(*line, strict=True), marker="o", label=name)
        title = f"{direction}, batch {batch}, {channels} channels"
        axes.set(title=title, xlabel="vertices", ylabel="ms")
        sizes = sorted({row["vertices"] for row in rows})
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xticks([], minor=True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=150)


def _middle(values: set[int]) -> int:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    sys.exit(main())
