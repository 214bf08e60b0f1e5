"""The picture of the aggregation benchmark."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aggregation_backends import BACKENDS, FLOOR, OURS
from harness import Report, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^v<>PXph*"


def draw(report: Report, path: Path) -> None:
    """Draw the time over that of copying against the vertices, a panel a pass and batch.

    Of several numbers of channels the middle one, of several dtypes the first.
    """
    from matplotlib.figure import Figure

    channels = sorted({row["channels"] for row in report.results})
    middle, dtype = channels[len(channels) // 2], report.results[0]["dtype"]
    rows = [r for r in report.results if r["channels"] == middle and r["dtype"] == dtype]
    passes = dict.fromkeys(row["pass"] for row in rows)
    batches = sorted({row["batch"] for row in rows})
    panels = [(direction, batch) for direction in passes for batch in batches]
    columns = max(2, len(batches))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(3 * columns + 3, 3.2 * lines + 0.8), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (direction, batch) in zip(grid.flat, panels, strict=False):
        shown = [r for r in rows if r["pass"] == direction and r["batch"] == batch]
        panel(axes, shown, f"{direction}, batch {batch}")
    handles = {h.get_label(): h for axes in grid.flat for h in axes.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=8)
    figure.supxlabel("vertices")
    figure.supylabel("time / time of copying")
    machine = report.metadata
    figure.suptitle(
        f"A X, {middle} channels, {dtype}\n{machine['device_name']}, "
        f"{machine['threads']} threads, torch {machine['versions']['torch']}",
        fontsize=10,
    )
    figure.savefig(path, dpi=150)


def panel(axes: "Axes", rows: list[Result], title: str) -> None:
    """Draw one line a backend."""
    floor = {row["vertices"]: row["median_ms"] for row in rows if row["backend"] == FLOOR}
    sizes = sorted({row["vertices"] for row in rows})
    names = dict.fromkeys([*BACKENDS, *(row["backend"] for row in rows)])
    for number, name in enumerate(names):
        times = {row["vertices"]: row["median_ms"] for row in rows if row["backend"] == name}
        if times:
            at = sorted(times)
            axes.plot(at, [times[n] / floor[n] for n in at], label=name, **style(name, number))
    axes.set(xscale="log", yscale="log", title=title)
    axes.set_xticks(sizes, [str(size) for size in sizes], rotation=45, fontsize=8)
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)


def style(name: str, number: int) -> dict[str, Any]:
    """Return how a backend is drawn: ours stands out, the floor is a dashed line."""
    if name == FLOOR:
        return {"color": "0.4", "linestyle": "--"}
    look = {"marker": MARKERS[number % len(MARKERS)], "markersize": 4}
    if name == OURS:
        return {**look, "color": "black", "linewidth": 2.5, "zorder": 3}
    return {**look, "color": f"C{number % 10}", "linestyle": "-" if number < 10 else ":"}
