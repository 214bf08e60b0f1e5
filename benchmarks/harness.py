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
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import torch

from bilayer_graph.errors import InputError

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
    },
)
"""A row of the results; the keys are the same in every benchmark."""


class Timing(NamedTuple):
    """Median and interquartile range of the runs of one candidate, in milliseconds."""

    median_ms: float
    iqr_ms: float


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
                f"{row['peak_mb']:>10.1f}{ratios}"
            )
        for gap in self.not_measured:
            if is_at(gap, point):
                print(f"  {gap['backend']:<30}{gap['reason']}")


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
    but three in all at least.

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
    times: dict[str, list[float]] = {}
    turns: list[tuple[float, str]] = []
    draw = random.Random(seed)
    for name, run in candidates.items():
        try:
            run()
            times[name] = _timed([run], device)
        except Exception as error:  # Whatever a peer raises is its result.
            errors[name] = failure(error)
            continue
        number = max(2, min(max_runs, int(seconds * 1e3 / max(times[name][0], 1e-3))))
        turns += [((turn + draw.random()) / number, name) for turn in range(number)]
    order = [name for _, name in sorted(turns)]
    for name, time_ms in zip(order, _timed([candidates[n] for n in order], device), strict=True):
        times[name].append(time_ms)
    return {name: errors.get(name) or _summary(times[name]) for name in candidates}


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
    """Raise :class:`InputError` if a picture cannot be drawn there, before hours of measuring."""
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
    parser.add_argument(
        "--device",
        type=torch.device,
        default=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--seed", type=int, default=0, help="features and order of the runs")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row, about")
    parser.add_argument("--quick", action="store_true", help="few sizes, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the results")
    return parser


def _summary(times: list[float]) -> Timing:
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(median, high - low)


def _timed(runs: Sequence[Callable[[], object]], device: torch.device) -> list[float]:
    """Return the milliseconds of each run."""
    if device.type == "cuda":
        return _timed_cuda(runs, device)
    times = []
    for run in runs:
        start = time.perf_counter()
        out = run()
        times.append((time.perf_counter() - start) * 1e3)
        # Freeing the result is no part of the work.
        del out
    return times


def _timed_cuda(runs: Sequence[Callable[[], object]], device: torch.device) -> list[float]:
    cache = torch.empty(_GPU_CACHE_BYTES, dtype=torch.uint8, device=device)
    marks = []
    for run in runs:
        cache.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        marks.append((start, end))
    torch.cuda.synchronize(device)
    return [start.elapsed_time(end) for start, end in marks]


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
