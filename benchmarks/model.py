"""Measure the block, the head and the whole models, in inference and in training.

    python benchmarks/model.py --quick
    python benchmarks/model.py --quick --subjects head --json results.json --plot results.png
    python benchmarks/model.py --quick --mesh mesh.obj

Each eager, on a CPU after ``ops.use_native()`` and without it, compiled, in plain torch, and as its
matrix products alone: the same products in the same order, on tensors of the same shapes and
strides, each by the faster of MKL and oneDNN. The head is everything between the image encoder and
the SMPL regressor, RoIAlign included; beside it stand the heads of GraphCMR and FastMETRO-S,
rewritten from their papers. A training step is forward, backward and Adam. In float16 and bfloat16
the models run under autocast.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import torch
from harness import DTYPES, Point, Report
from meshes import read_mesh, still_body
from model_subjects import FOLDED, PLAIN, SUBJECTS, Peer, Subject, Tensors
from products import multiply_adds, record, replay

from bilayer_graph.errors import InputError
from bilayer_graph.ops import use_native
from bilayer_graph.testing import assert_close

OURS, UNBUILT, COMPILED = "ours", "ours, without C++", "compiled"
FLOOR, COPY = "matrix products alone", "copy"
FORWARD, TRAINING = "forward", "training step"
BATCH = (1, 8)
QUICK_SUBJECTS, QUICK_SECONDS = ("block", "head"), 0.5
COLUMNS = {
    "images/s": "the batch over the median",
    "x plain": "time over that of the same formulas and parameters in plain torch",
    "of floor": "time of the matrix products alone over the row's",
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write and draw; return the exit status."""
    try:
        arguments = parse(words)
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
    parser.add_argument("--mesh", type=Path, metavar="FILE", help="a mesh instead of the body's")
    if parser.parse_args(words).quick:
        parser.set_defaults(subjects=QUICK_SUBJECTS, seconds=QUICK_SECONDS)
    arguments = harness.read(parser, words)
    arguments.body = None if arguments.mesh is None else still_body(read_mesh(arguments.mesh))
    return arguments


def measure(arguments: argparse.Namespace) -> Report:
    """Measure the subjects one after the other."""
    report = Report(harness.metadata(arguments.device, arguments.seed))
    report.metadata["subjects"] = []
    if arguments.mesh is not None:
        report.metadata["mesh"] = arguments.mesh.name
    print(harness.describe(report.metadata), harness.explain(COLUMNS), sep="\n")
    for name in arguments.subjects:
        torch.manual_seed(arguments.seed)
        subject = SUBJECTS[name](arguments.device, arguments.body)
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
        "peers": {
            name: {"parameters": sum(map(torch.numel, peer.parameters)), "vertices": peer.vertices}
            for name, peer in subject.peers.items()
        },
    }


def tasks(subject: Subject, point: Point, compiles: bool) -> dict[str, Callable[[], object]]:
    """Return the candidates of one point, ready to run."""
    torch.compiler.reset()
    device, dtype = torch.device(point["device"]), DTYPES[point["dtype"]]
    training = point["pass"] == TRAINING
    inputs = subject.inputs(point["batch"])

    def task(way: Subject | Peer, compiled: bool = False) -> Callable[[], object]:
        def run(*inputs: torch.Tensor) -> Tensors:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                return way.run(*inputs)

        way.module.train(training)
        # Each batch size for itself, as an application of one size would.
        done = torch.compile(run, fullgraph=True, dynamic=False) if compiled else run
        return (
            training_task(done, inputs, way.parameters) if training else forward_task(done, inputs)
        )

    ours = task(subject)
    ways = {OURS: ours}
    if device.type == "cpu":
        ways = {OURS: natively(ours), UNBUILT: ours}
    if compiles:
        ways[COMPILED] = task(subject, compiled=True)
    peers = {name: peer for name, peer in subject.peers.items() if peer.parameters or not training}
    ways |= {name: task(peer) for name, peer in peers.items()}
    if FOLDED in ways and device.type == "cpu":
        ways[FOLDED] = natively(ways[FOLDED])
    if dtype == torch.float32:
        check(subject, inputs, [name for name in subject.same if name in peers])
    ways[FLOOR] = replay(record(ours), device)
    features = torch.randn(point["batch"], subject.vertices, subject.channels, device=device)
    ways[COPY] = features.clone
    return ways


def natively(task: Callable[[], object]) -> Callable[[], object]:
    """Return a task with group normalisation in C++."""

    def run() -> object:
        use_native()
        try:
            return task()
        finally:
            use_native(False)

    return run


def check(subject: Subject, inputs: Tensors, names: Sequence[str]) -> None:
    """Compare whole outputs of peers with the subject's."""
    modules = [subject.module, *(subject.peers[name].module for name in names)]
    modes = [module.training for module in modules]
    with torch.no_grad():
        for module in modules:
            module.eval()
        expected = subject.run(*inputs)
        for name in names:
            for actual, wanted in zip(subject.peers[name].run(*inputs), expected, strict=True):
                assert_close(actual, wanted.double())
    for module, mode in zip(modules, modes, strict=True):
        module.train(mode)


def forward_task(run: Callable[..., Tensors], inputs: Tensors) -> Callable[[], object]:
    """Return an inference."""

    def task() -> object:
        with torch.no_grad():
            return run(*inputs)

    return task


def training_task(
    run: Callable[..., Tensors], inputs: Tensors, parameters: list[torch.nn.Parameter]
) -> Callable[[], object]:
    """Return a training step; the loss is the sum of the mean squares of the outputs."""
    optimizer = torch.optim.Adam(parameters, lr=1e-4, fused=True)

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
        f"{subject['multiply_adds'] / 1e9:.3f} G multiply-adds an image"
    )
    for name, peer in subject["peers"].items():
        sizes = f"{peer['vertices']} vertices, {peer['parameters'] / 1e6:.2f} M parameters"
        print(f"  beside it {name}: {sizes if peer['parameters'] else 'inference only'}")
    print(
        f"  {'pass':<14}{'batch':>6}  {'backend':<26}{'median ms':>11}{'iqr ms':>9}"
        f"{'images/s':>10}{'x plain':>9}{'of floor':>10}{'peak MB':>10}"
    )


def print_point(report: Report, point: Point) -> None:
    """Print time, images a second, ratios and memory."""
    rows = {row["backend"]: row for row in report.results if harness.is_at(row, point)}
    start = f"  {point['pass']:<14}{point['batch']:>6}"
    for name, row in sorted(rows.items(), key=lambda item: item[1]["median_ms"]):
        time = row["median_ms"]
        rate, share = f"{1e3 * point['batch'] / time:.1f}", f"{rows[FLOOR]['median_ms'] / time:.0%}"
        if name == COPY:
            rate = share = ""
        plain = f"{time / rows[PLAIN]['median_ms']:.2f}" if PLAIN in rows else ""
        print(
            f"{start}  {name:<26}{time:>11.2f}{row['iqr_ms']:>9.2f}{rate:>10}{plain:>9}"
            f"{share:>10}{row['peak_mb']:>10.1f}{harness.disturbance(row)}"
        )
    for gap in report.not_measured:
        if harness.is_at(gap, point):
            print(f"{start}  {gap['backend']:<26}{gap['reason']}")


def draw(report: Report, path: Path) -> None:
    """Draw the times of every subject at the largest batch, a panel a pass."""
    from matplotlib.figure import Figure

    batch = max(row["batch"] for row in report.results)
    figure = Figure(figsize=(14, 6), layout="constrained")
    for axes, direction in zip(figure.subplots(1, 2), (FORWARD, TRAINING), strict=True):
        at = {"batch": batch, "pass": direction}
        rows = [row for row in report.results if harness.is_at(row, at)]
        labels = [f"{row['op']}, {row['backend']}" for row in rows]
        bars = axes.barh(labels, [row["median_ms"] for row in rows])
        axes.bar_label(bars, fmt="%.0f", padding=2)
        axes.margins(x=0.12)
        axes.set(title=f"{direction}, batch {batch}", xlabel="ms")
        axes.invert_yaxis()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
