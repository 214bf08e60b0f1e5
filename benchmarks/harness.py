"""What the benchmarks share: interleaved timing, peak memory, metadata, tables and files.

The rules are in benchmarks/README.md. No script of its own.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import torch

from bilayer_graph.errors import InputError
from bilayer_graph.predict import choose_device

# The profiler writes a line to stderr at each start and stop otherwise.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")

MEGABYTE = 1e6
DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# Written before each run on a GPU, so that no candidate finds its input in the cache.
_GPU_CACHE_BYTES = 2**28
# Of involuntary context switches in a second: more than the system's own threads cause.
_QUIET_SWITCHES = 10
# How often the disturbed runs of a point are made again.
_REPEATS = 2
COLUMNS = {
    "median ms": "of the row's runs",
    "iqr ms": "of the same runs, from quartile to quartile",
    "peak MB": "most memory that torch held at once beyond inputs and what is ready before",
    "disturbed": "runs during which other programs took the cores, even when repeated",
}
"""What the columns of every table say."""

_PACKAGES = (
    "torch",
    "triton",
    "torch-geometric",
    "pyg-lib",
    "torch-scatter",
    "torch-sparse",
    "numpy",
)

Point = TypedDict(
    "Point",
    {
        "op": str,
        "vertices": int,
        "batch": int,
        "channels": int,
        "device": str,
        "dtype": str,
        "pass": str,
    },
)
"""What a row measures, whoever does it."""

Result = TypedDict(
    "Result",
    {
        "op": str,
        "backend": str,
        "vertices": int,
        "batch": int,
        "channels": int,
        "device": str,
        "dtype": str,
        "pass": str,
        "median_ms": float,
        "iqr_ms": float,
        "peak_mb": float,
        "runs": int,
        "disturbed": int,
    },
)
"""A row of the results; the keys are the same in every benchmark."""


class Timing(NamedTuple):
    """The runs of one candidate.

    Attributes:
        median_ms: Their median in milliseconds.
        iqr_ms: Their interquartile range in milliseconds.
        runs: Their number.
        disturbed: Number of those in which other programs took the cores, each time they were made.
    """

    median_ms: float
    iqr_ms: float
    runs: int
    disturbed: int


class Run(NamedTuple):
    """Milliseconds of one run, and whether other programs took the cores meanwhile."""

    ms: float
    disturbed: bool


class Report:
    """The rows of one benchmark, and what could not be measured and why."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        self.results: list[Result] = []
        self.not_measured: list[dict[str, Any]] = []

    def measure(
        self,
        point: Point,
        candidates: Mapping[str, Callable[[], object]],
        seconds: float = 1.0,
    ) -> None:
        """Time the candidates of one point against each other and take their peak memory.

        Args:
            point: What is measured.
            candidates: The ways of doing it, by name; ready to call without arguments.
            seconds: Time for each candidate, about.
        """
        device = torch.device(point["device"])
        for backend, timing in interleaved(
            candidates, device, seconds, seed=self.metadata["seed"]
        ).items():
            if isinstance(timing, str):
                self.skip(point, backend, timing)
                continue
            peak = peak_mb(candidates[backend], device)
            row = {**point, "backend": backend, **timing._asdict(), "peak_mb": peak}
            self.results.append(cast(Result, {key: row[key] for key in Result.__annotations__}))

    def skip(self, point: Point, backend: str, reason: str) -> None:
        """Note a way that was not measured; it appears in the table and in the file."""
        self.not_measured.append({**point, "backend": backend, "reason": reason})

    def write(self, path: Path) -> None:
        """Write ``{"metadata": .., "results": [..]}``; the gaps are ``metadata.not_measured``."""
        metadata = {**self.metadata, "not_measured": self.not_measured}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps({"metadata": metadata, "results": self.results}, indent=1) + "\n"
        )

    def print_point(self, point: Point, references: Sequence[str]) -> None:
        """Print a table of one point, fastest first, with ratios to the reference backends."""
        rows = [row for row in self.results if is_at(row, point)]
        base = {row["backend"]: row["median_ms"] for row in rows if row["backend"] in references}
        print("\n" + ", ".join(f"{key} {value}" for key, value in point.items()))
        ratios = "".join(f"{'x ' + name:>{_ratio_width(name)}}" for name in references)
        print(f"  {'backend':<30}{'median ms':>11}{'iqr ms':>9}{'peak MB':>10}{ratios}")
        for row in sorted(rows, key=lambda row: row["median_ms"]):
            ratios = "".join(
                f"{row['median_ms'] / base[name]:>{_ratio_width(name)}.2f}"
                if name in base
                else f"{'-':>{_ratio_width(name)}}"
                for name in references
            )
            print(
                f"  {row['backend']:<30}{row['median_ms']:>11.3f}{row['iqr_ms']:>9.3f}"
                f"{row['peak_mb']:>10.1f}{ratios}{disturbance(row)}"
            )
        for gap in self.not_measured:
            if is_at(gap, point):
                print(f"  {gap['backend']:<30}{gap['reason']}")


def explain(columns: Mapping[str, str]) -> str:
    """Return what the columns of a table say, those that every table has and its own."""
    return "\n".join(f"  {name}: {meaning}" for name, meaning in {**COLUMNS, **columns}.items())


def ratio_columns(references: Sequence[str]) -> dict[str, str]:
    """Return what the columns of ratios to reference backends say."""
    return {f"x {name}": f"time over that of '{name}'" for name in references}


def disturbance(row: Result) -> str:
    """Return what a table says behind a row of which other programs disturbed runs."""
    return f"  disturbed: {row['disturbed']} of {row['runs']} runs" if row["disturbed"] else ""


def is_at(row: Mapping[str, Any], point: Mapping[str, Any]) -> bool:
    """Return whether a row belongs to a point."""
    return all(row[key] == value for key, value in point.items())


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    device: torch.device,
    seconds: float = 1.0,
    max_runs: int = 200,
    seed: int = 0,
) -> dict[str, Timing | str]:
    """Time ways of doing the same thing in turns, so that they share what the machine does beside.

    Each is called once to warm up and once to see how long it takes. The other runs are spread
    evenly over the whole measurement in a seeded random order: a slow candidate has fewer of them,
    but three in all at least. A run during which other programs took the cores is made again at the
    end, twice at most.

    Args:
        candidates: The ways, by name; ready to call without arguments.
        device: Where they run.
        seconds: Time for each candidate, about.
        max_runs: Most runs of one candidate.
        seed: Seed of the order.

    Returns:
        A timing, or the error of a candidate that failed, by name in the given order.
    """
    errors: dict[str, str] = {}
    runs: dict[str, list[Run]] = {}
    turns: list[tuple[float, str]] = []
    draw = random.Random(seed)
    for name, run in candidates.items():
        try:
            run()
            runs[name] = _timed([run], device)
        except Exception as error:  # Whatever a peer raises is its result.
            errors[name] = failure(error)
            continue
        number = max(2, min(max_runs, int(seconds * 1e3 / max(runs[name][0].ms, 1e-3))))
        turns += [((turn + draw.random()) / number, name) for turn in range(number)]
    order = [*runs, *(name for _, name in sorted(turns))]
    made = [run for (run,) in runs.values()]
    made += _timed([candidates[name] for name in order[len(made) :]], device)
    for _ in range(_REPEATS):
        again = [turn for turn, run in enumerate(made) if run.disturbed]
        repeated = _timed([candidates[order[turn]] for turn in again], device)
        for turn, better in zip(again, repeated, strict=True):
            made[turn] = better
    for name in runs:
        runs[name] = [one for other, one in zip(order, made, strict=True) if other == name]
    return {name: errors.get(name) or _summary(runs[name]) for name in candidates}


def failure(error: Exception) -> str:
    """Return what is reported of a candidate that raised."""
    first_line = next(iter(str(error).splitlines()), "")
    return f"failed: {type(error).__name__}: {first_line[:200]}"


def peak_mb(run: Callable[[], object], device: torch.device) -> float:
    """Return the most memory that torch held during a run beyond what it held before.

    In 10^6 bytes. Outputs and everything in between count; inputs and ready-made indices do not.
    On a CPU it is the sum of the allocator's own events: exact for tensors, blind to the work space
    that other libraries take without it.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        start = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - start) / MEGABYTE
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(
        activities=activities, profile_memory=True, acc_events=True
    ) as profile:
        run()
    events = [
        (event.start_ns(), event.nbytes())
        for event in profile.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    held = most = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        held += size
        most = max(most, held)
    return most / MEGABYTE


def metadata(device: torch.device, seed: int) -> dict[str, Any]:
    """Return the versions, the machine and the settings that a figure depends on."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()}
        | {name: version(name) or "missing" for name in _PACKAGES}
        | {"cuda": torch.version.cuda or "none"},
        "commit": _commit(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu(),
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "seed": seed,
    }


def check_plot(path: Path) -> None:
    """Raise :class:`InputError` if a picture cannot be drawn there."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        remedy = "Install it: pip install 'bilayer_graph[plot]'"
        raise InputError("--plot", str(path), "matplotlib is missing", remedy) from None
    if not path.resolve().parent.is_dir():
        raise InputError("--plot", str(path), "there is no such folder", "Give another path")


def describe(metadata: Mapping[str, Any]) -> str:
    """Return the metadata in a few lines."""
    versions = ", ".join(f"{name} {number}" for name, number in metadata["versions"].items())
    settings = f"{metadata['threads']} threads, seed {metadata['seed']}, {metadata['date']}"
    return f"{metadata['device_name']} ({metadata['device']}), {settings}\n{versions}"


def read(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line, and check what all benchmarks need before hours of measuring.

    Raises:
        InputError: If there is no such device, or no picture can be drawn.
    """
    arguments = parser.parse_args(words)
    arguments.device = choose_device(arguments.device)
    if arguments.plot:
        check_plot(arguments.plot)
    return arguments


def version(package: str) -> str | None:
    """Return the version of an installed package, or ``None``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=description.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        conflict_handler="resolve",  # so that a script can redefine an option
    )
    parser.add_argument("--device", default="auto", help='"auto", "cpu" or "cuda"')
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--seed", type=int, default=0, help="features and order of the runs")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row, about")
    parser.add_argument("--quick", action="store_true", help="few sizes, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the results")
    return parser


def _summary(runs: list[Run]) -> Timing:
    low, median, high = statistics.quantiles([run.ms for run in runs], n=4, method="inclusive")
    return Timing(median, high - low, len(runs), sum(run.disturbed for run in runs))


def _timed(runs: Sequence[Callable[[], object]], device: torch.device) -> list[Run]:
    """Return the time of each run."""
    if device.type == "cuda":
        return _timed_cuda(runs, device)
    timed = []
    for run in runs:
        switches, start = _switches(), time.perf_counter()
        out = run()
        seconds = time.perf_counter() - start
        timed.append(Run(seconds * 1e3, _is_disturbed(switches, seconds)))
        # Freeing the result is no part of the work.
        del out
    return timed


def _timed_cuda(runs: Sequence[Callable[[], object]], device: torch.device) -> list[Run]:
    cache = torch.empty(_GPU_CACHE_BYTES, dtype=torch.uint8, device=device)
    marks = []
    for run in runs:
        cache.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        switches, launch = _switches(), time.perf_counter()
        start.record()
        run()
        end.record()
        # Who delays the launch delays the run.
        marks.append((start, end, _is_disturbed(switches, time.perf_counter() - launch)))
    torch.cuda.synchronize(device)
    return [Run(start.elapsed_time(end), disturbed) for start, end, disturbed in marks]


def _switches() -> int:
    """Return how often the system took a core from a thread of this program so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _is_disturbed(switches_before: int, seconds: float) -> bool:
    return _switches() - switches_before > _QUIET_SWITCHES * seconds


def _ratio_width(name: str) -> int:
    return max(9, len(name) + 4)


def _commit() -> str:
    """Return the version of the source tree that is measured."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        answer = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return answer.stdout.strip() or "unknown"


def _cpu() -> str:
    """Return the processor's model name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
