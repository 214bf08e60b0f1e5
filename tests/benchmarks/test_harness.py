import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import harness
import pytest
import torch
from harness import Report, Timing, interleaved, metadata, peak_mb

from bilayer_graph.errors import InputError

CPU = torch.device("cpu")
POINT = {
    "op": "aggregation",
    "vertices": 431,
    "batch": 16,
    "channels": 256,
    "device": "cpu",
    "dtype": "float32",
    "pass": "forward",
}
KEYS = {*POINT, "backend", "median_ms", "iqr_ms", "peak_mb", "runs", "disturbed"}


class Clock:
    """A clock that only candidates move, and other programs that switch when told to."""

    def __init__(self):
        self.now, self.calls, self.switches = 0.0, [], 0

    def perf_counter(self):
        return self.now

    def candidate(self, name, *milliseconds):
        def run():
            turn = self.calls.count(name)
            self.now += milliseconds[turn % len(milliseconds)] / 1e3
            self.calls.append(name)

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(harness, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    monkeypatch.setattr(harness, "_switches", lambda: clock.switches)
    return clock


def broken():
    raise ValueError("no such layout\nand more")


def test_median_and_quartiles_leave_out_the_warm_up(clock):
    # The first run takes a second; the others 4, 1, 2, 3, 4, 1, .. ms, so that the runs are even.
    run = clock.candidate("a", 1000, *[4, 1, 2, 3] * 50)
    timing = interleaved({"a": run}, CPU, seconds=0.4, max_runs=99)["a"]
    assert len(clock.calls) == 1 + 100
    assert timing == (pytest.approx(2.5), pytest.approx(3.25 - 1.75), 100, 0)


def test_runs_are_interleaved_and_slow_candidates_have_fewer(clock):
    runs = {"fast": clock.candidate("fast", 1), "slow": clock.candidate("slow", 800)}
    timings = interleaved(runs, CPU, seconds=0.1)
    assert timings["fast"] == pytest.approx((1, 0, 101, 0))
    assert timings["slow"] == pytest.approx((800, 0, 3, 0))
    measured = clock.calls[4:]
    assert (measured.count("fast"), measured.count("slow")) == (100, 2)
    first, second = (place for place, name in enumerate(measured) if name == "slow")
    assert first <= 51 <= second


def test_the_seed_decides_the_order(clock):
    orders = []
    for seed in (1, 1, 2):
        clock.calls.clear()
        interleaved({n: clock.candidate(n, 1) for n in "abc"}, CPU, seconds=0.0105, seed=seed)
        orders.append(tuple(clock.calls))
    assert orders[0] == orders[1] != orders[2]


def test_a_disturbed_run_is_made_again(clock):
    candidate = clock.candidate("a", 10)

    def run():
        candidate()
        if len(clock.calls) in (3, 5):  # the first is the warm-up
            clock.now += 1.0
            clock.switches += 20

    timing = interleaved({"a": run}, CPU, seconds=0.05)["a"]
    assert timing == (pytest.approx(10), pytest.approx(0), 6, 0)
    assert len(clock.calls) == 1 + 6 + 2


def test_runs_that_are_disturbed_again_and_again_are_counted(clock):
    # 10 switches a second are what a quiet machine has.
    quiet, crowded = clock.candidate("quiet", 1000), clock.candidate("crowded", 1000)

    def switching(candidate, number):
        def run():
            candidate()
            clock.switches += number

        return run

    runs = {"quiet": switching(quiet, 10), "crowded": switching(crowded, 11)}
    timings = interleaved(runs, CPU, seconds=0.1)
    assert timings["quiet"][2:] == (3, 0)
    assert timings["crowded"][2:] == (3, 3)
    assert clock.calls.count("crowded") == 1 + 3 * 3


def test_switches_of_a_busy_core_are_seen():
    core = min(os.sched_getaffinity(0))
    pin = f"import os; os.sched_setaffinity(0, [{core}])"
    rival = subprocess.Popen([sys.executable, "-c", f"{pin}\nwhile True: pass"])
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, [core])
        before, start = harness._switches(), time.perf_counter()
        while harness._switches() == before and time.perf_counter() - start < 30:
            pass
        assert harness._switches() > before
    finally:
        os.sched_setaffinity(0, cores)
        rival.kill()
        rival.wait()


def test_a_candidate_that_raises_is_named():
    timings = interleaved({"bad": broken, "good": lambda: None}, CPU, seconds=1e-4)
    assert timings["bad"] == "failed: ValueError: no such layout"
    assert isinstance(timings["good"], Timing)


def test_peak_is_what_is_held_at_once(device):
    x = torch.zeros(16, 1723, 256, device=device)
    size = pytest.approx(x.numel() * 4 / 1e6, rel=1e-3)
    assert size == 28.229632
    assert peak_mb(lambda: None, device) == 0
    assert peak_mb(x.clone, device) == size
    # Each product needs the one before it, never the one before that.
    assert peak_mb(lambda: x.mul(2).mul(2).mul(2).mul(2), device) / 2 == size
    assert peak_mb(lambda: [x.clone() for _ in range(3)], device) / 3 == size


def test_peak_counts_the_backward_pass(device):
    x = torch.ones(1000, 1000, device=device, requires_grad=True)
    # exp keeps its output, and the gradient comes beside it.
    peak = peak_mb(lambda: torch.autograd.grad(x.exp(), x, x.detach()), device)
    assert peak == pytest.approx(8, rel=0.1)


def test_what_was_freed_does_not_hide_what_was_allocated(device):
    held = [torch.zeros(1000, 1000, device=device)]

    def run():
        held.clear()
        return torch.zeros(2000, 1000, device=device)

    # A GPU's allocator gives the difference, a CPU's events what was allocated.
    assert peak_mb(run, device) == pytest.approx(8 if device.type == "cpu" else 4, rel=0.1)


def test_metadata_names_what_a_figure_depends_on():
    data = metadata(CPU, 3)
    assert data["seed"] == 3
    assert data["threads"] == torch.get_num_threads()
    assert data["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {"date", "commit", "device_name", "cpu"} <= data.keys()
    json.dumps(data)


def test_a_package_that_is_not_installed_is_named_as_missing(monkeypatch):
    monkeypatch.setattr(harness, "_PACKAGES", ("no-such-package",))
    assert metadata(CPU, 0)["versions"]["no-such-package"] == "missing"


def test_file_has_the_rows_and_the_gaps(tmp_path):
    report = Report(metadata(CPU, 0))
    report.measure(POINT, {"good": lambda: None, "bad": broken}, seconds=1e-4)
    report.skip(POINT, "large", "skipped: needs 40 of 24 GB")
    report.write(tmp_path / "new" / "file.json")
    contents = json.loads((tmp_path / "new" / "file.json").read_text())
    assert contents.keys() == {"metadata", "results"}
    (row,) = contents["results"]
    assert row.keys() == KEYS
    assert row["backend"] == "good"
    gaps = {gap["backend"]: gap["reason"] for gap in contents["metadata"]["not_measured"]}
    assert gaps == {
        "bad": "failed: ValueError: no such layout",
        "large": "skipped: needs 40 of 24 GB",
    }


def test_every_column_is_explained_in_a_line():
    columns = harness.ratio_columns(("ours", "copy"))
    lines = harness.explain(columns).splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [*harness.COLUMNS, "x ours", "x copy"]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    parser = harness.arguments("A benchmark.")
    assert harness.read(parser, []).device == CPU
    with pytest.raises(InputError, match="device=cuda: no such device here"):
        harness.read(parser, ["--device", "cuda"])


def test_table_is_sorted_and_has_ratios_and_gaps(capsys):
    report = Report(metadata(CPU, 0))
    for backend, median in (("slow", 6.0), ("ours", 2.0), ("copy", 1.5)):
        times = {"median_ms": median, "iqr_ms": 0.25, "peak_mb": 7.0, "runs": 9}
        disturbed = 4 if backend == "slow" else 0
        report.results.append({**POINT, "backend": backend, **times, "disturbed": disturbed})
    report.skip(POINT, "large", "skipped: too large")
    report.skip({**POINT, "batch": 1}, "elsewhere", "skipped: too large")
    report.print_point(POINT, ("ours", "copy"))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[3] == ["copy", "1.500", "0.250", "7.0", "0.75", "1.00"]
    assert lines[4] == ["ours", "2.000", "0.250", "7.0", "1.00", "1.33"]
    assert lines[5][:6] == ["slow", "6.000", "0.250", "7.0", "3.00", "4.00"]
    assert lines[5][6:] == ["disturbed:", "4", "of", "9", "runs"]
    assert lines[6:] == [["large", "skipped:", "too", "large"]]
