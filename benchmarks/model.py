"""Measure the block, the head and the whole models, in inference and in training.

    python benchmarks/model.py --quick
    python benchmarks/model.py --json results.json --plot results.png

Each eager, compiled, and as its matrix products alone: the same products in the same order, on
tensors of the same shapes and strides. The head is everything between the image encoder and the
SMPL regressor, RoIAlign included. A training step is forward, backward and Adam. In float16 and
bfloat16 the models run under autocast.

A unit is the time of the dense product of ``[1723, 1723]`` and ``[16, 1723, 256]``, measured in
turns with the rest, so that machines can be compared.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import torch
from harness import DTYPES, Point, Report, check_plot
from model_subjects import SUBJECTS, Subject, Tensors
from products import multiply_adds, record, replay

from bilayer_graph.errors import InputError

EAGER, COMPILED, FLOOR = "eager", "compiled", "matrix products alone"
UNIT, UNIT_SHAPE = "unit: dense product", (16, 1723, 256)
FORWARD, TRAINING = "forward", "training step"
BATCH = (1, 8)
QUICK_SUBJECTS, QUICK_SECONDS = ("block", "head", "mesh-only"), 0.5


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write and draw; return the exit status."""
    arguments = parse(words)
    try:
        if arguments.plot:
            check_plot(arguments.plot)
        report = measure(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.plot:
        draw(report, arguments.plot)
    return 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; ``--quick`` only changes what is not given."""
    parser = harness.arguments(__doc__ or "")
    # RoIAlign and the coordinates stay in float32; the rest follows autocast.
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--batch", nargs="+", type=int, default=BATCH, metavar="B")
    if parser.parse_args(words).quick:
        parser.set_defaults(subjects=QUICK_SUBJECTS, seconds=QUICK_SECONDS)
    return parser.parse_args(words)


def measure(arguments: argparse.Namespace) -> Report:
    """Measure the subjects one after the other."""
    report = Report(harness.metadata(arguments.device, arguments.seed))
    report.metadata["subjects"] = []
    print(harness.describe(report.metadata))
    for name in arguments.subjects:
        torch.manual_seed(arguments.seed)
        subject = SUBJECTS[name](arguments.device)
        report.metadata["subjects"].append(size(subject))
        print_heading(report.metadata["subjects"][-1])
        for point in points(arguments, subject):
            # A head takes a minute to compile.
            compiles = not arguments.quick or (name == "block" and point["pass"] == FORWARD)
            report.measure(point, tasks(subject, point, compiles), arguments.seconds)
            if not compiles:
                report.skip(point, COMPILED, "skipped: --quick compiles the block's forward alone")
            print_point(report, point)
            if arguments.json:
                report.write(arguments.json)
    return report


def points(arguments: argparse.Namespace, subject: Subject) -> Iterator[Point]:
    """Yield the points of one subject."""
    for direction in (FORWARD, TRAINING):
        for batch in sorted(arguments.batch):
            yield {
                "op": subject.op,
                "vertices": subject.vertices,
                "batch": batch,
                "channels": subject.channels,
                "device": str(arguments.device),
                "dtype": arguments.dtype,
                "pass": direction,
            }


def size(subject: Subject) -> dict[str, Any]:
    """Return the parameters of a subject and its multiply-adds for one image."""
    subject.module.eval()
    products = record(forward_task(subject.run, subject.inputs(1)))
    return {
        "op": subject.op,
        "vertices": subject.vertices,
        "channels": subject.channels,
        "parameters": sum(parameter.numel() for parameter in subject.parameters),
        "multiply_adds": multiply_adds(products),
        "sparse_multiply_adds": multiply_adds(p for p in products if p.function is None),
    }


def tasks(subject: Subject, point: Point, compiles: bool) -> dict[str, Callable[[], object]]:
    """Return the candidates of one point, ready to run."""
    torch.compiler.reset()
    device, dtype = torch.device(point["device"]), DTYPES[point["dtype"]]
    training = point["pass"] == TRAINING
    subject.module.train(training)
    inputs = subject.inputs(point["batch"])

    def run(*inputs: torch.Tensor) -> Tensors:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return subject.run(*inputs)

    def task(run: Callable[..., Tensors]) -> Callable[[], object]:
        return training_task(run, inputs, subject) if training else forward_task(run, inputs)

    ways = {EAGER: task(run)}
    if compiles:
        # Each batch size for itself, as an application of one size would.
        ways[COMPILED] = task(torch.compile(run, fullgraph=True, dynamic=False))
    ways[FLOOR] = replay(record(ways[EAGER]), device)
    features = torch.randn(UNIT_SHAPE, dtype=dtype, device=device)
    adjacency = torch.rand(UNIT_SHAPE[1], UNIT_SHAPE[1], dtype=dtype, device=device)
    ways[UNIT] = lambda: adjacency @ features
    return ways


def forward_task(run: Callable[..., Tensors], inputs: Tensors) -> Callable[[], object]:
    """Return an inference."""

    def task() -> object:
        with torch.no_grad():
            return run(*inputs)

    return task


def training_task(
    run: Callable[..., Tensors], inputs: Tensors, subject: Subject
) -> Callable[[], object]:
    """Return a training step; the loss is the sum of the mean squares of the outputs."""
    optimizer = torch.optim.Adam(subject.parameters, lr=1e-4)

    def task() -> None:
        torch.stack([out.float().square().mean() for out in run(*inputs)]).sum().backward()
        optimizer.step()
        # Last, so that the memory of a step is that of its own gradients.
        optimizer.zero_grad()

    return task


def print_heading(subject: dict[str, Any]) -> None:
    """Print what a subject is, and the heading of its table."""
    print(
        f"\n{subject['op']}: {subject['vertices']} vertices, {subject['channels']} channels, "
        f"{subject['parameters'] / 1e6:.2f} M parameters, "
        f"{subject['multiply_adds'] / 1e9:.3f} G multiply-adds an image\n"
        f"  {'pass':<14}{'batch':>6}  {'backend':<22}{'median ms':>11}{'iqr ms':>9}"
        f"{'images/s':>10}{'units':>8}{'of floor':>10}{'peak MB':>10}"
    )


def print_point(report: Report, point: Point) -> None:
    """Print time, images a second, units, the floor's share of the time, and memory."""
    rows = {row["backend"]: row for row in report.results if harness.is_at(row, point)}
    unit, floor = rows[UNIT]["median_ms"], rows[FLOOR]["median_ms"]
    start = f"  {point['pass']:<14}{point['batch']:>6}"
    for name, row in rows.items():
        time = row["median_ms"]
        rate, share = f"{1e3 * point['batch'] / time:.1f}", f"{floor / time:.0%}"
        if name == UNIT:
            rate = share = ""
        print(
            f"{start}  {name:<22}{time:>11.2f}{row['iqr_ms']:>9.2f}"
            f"{rate:>10}{time / unit:>8.2f}{share:>10}{row['peak_mb']:>10.1f}"
        )
    for gap in report.not_measured:
        if harness.is_at(gap, point):
            print(f"{start}  {gap['backend']:<22}{gap['reason']}")


def draw(report: Report, path: Path) -> None:
    """Draw the times of every subject at the largest batch, a panel a pass."""
    from matplotlib.figure import Figure

    batch = max(row["batch"] for row in report.results)
    figure = Figure(figsize=(14, 6), layout="constrained")
    for axes, direction in zip(figure.subplots(1, 2), (FORWARD, TRAINING), strict=True):
        at = {"batch": batch, "pass": direction}
        rows = [row for row in report.results if harness.is_at(row, at) and row["backend"] != UNIT]
        labels = [f"{row['op']}, {row['backend']}" for row in rows]
        bars = axes.barh(labels, [row["median_ms"] for row in rows])
        axes.bar_label(bars, fmt="%.0f", padding=2)
        axes.margins(x=0.12)
        axes.set(title=f"{direction}, batch {batch}", xlabel="ms")
        axes.invert_yaxis()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
