"""Figures as the evaluation prints them, and as it writes them to a file."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bilayer_graph.errors import not_written
from bilayer_graph.training.measured import Figure, Measured, Row

_TABLE = ("MPJPE", "PA-MPJPE", "PVE")
_WIDTH = 25


def figure_text(figure: Figure, digits: int = 1) -> str:
    """Return a mean, its interval and the median as they are printed; a dash for an unknown one."""
    values = (figure.mean, figure.interval, figure.median)
    mean, interval, median = (
        "-" if math.isnan(value) else f"{value:.{digits}f}" for value in values
    )
    return f"{mean:>7} ± {interval} ({median})"


def print_families(measured: Measured, indent: str = "  ") -> None:
    """Print the errors family by family; a kind with one family alone says nothing."""
    names = "".join(f"{name:<{_WIDTH}}" for name in _TABLE).rstrip()
    missed = not bool(measured.found.all())
    columns = f"{'share':>6} {'people':>7} " + ("  found " if missed else "")
    print(f"{indent}{'by family: mean ± 95 % interval (median)':<44}{columns}   {names}")
    print(f"{indent}  {'everybody':<42}{_row_text(measured.everybody(), missed)}")
    for kind, family in measured.rows().items():
        there = {name: row for name, row in family.items() if row.people}
        if len(there) > 1:
            print(f"{indent}  {kind}")
            for name, row in there.items():
                print(f"{indent}    {name:<40}{_row_text(row, missed)}")


def _row_text(row: Row, missed: bool) -> str:
    found = f"{row.found:7.3f} " if missed else ""
    errors = [f"{figure_text(row.errors[name]):<{_WIDTH}}" for name in _TABLE if name in row.errors]
    return f"{row.share:6.1%} {row.people:7d} {found}{''.join(errors)}".rstrip()


def as_numbers(measured: Measured) -> dict[str, Any]:
    """Return all figures by name, of everybody and of the families; ``None`` where unknown."""
    families = {
        kind: {name: _row_numbers(row) for name, row in family.items()}
        for kind, family in measured.rows().items()
    }
    return {"everybody": _row_numbers(measured.everybody()), "families": families}


def _row_numbers(row: Row) -> dict[str, Any]:
    errors = {
        name: {part: _number(value) for part, value in figure._asdict().items()}
        for name, figure in row.errors.items()
    }
    return {
        "people": row.people,
        "share": row.share,
        "found": _number(row.found),
        "errors": errors,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_numbers(path: Path, numbers: Mapping[str, Any]) -> None:
    """Write figures to a file.

    Raises:
        InputError: If it cannot be written.
    """
    text = json.dumps(numbers, indent=2, allow_nan=False)
    try:
        path.write_text(text + "\n")
    except OSError as error:
        raise not_written("--json", path, error) from error
