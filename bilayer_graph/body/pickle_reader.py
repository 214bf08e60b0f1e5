"""SMPL pickles, read without running them: an allow-list of array types, nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bilayer_graph.body.field_error import FieldError, one_line
from bilayer_graph.body.pickle_arrays import (
    Array,
    Chumpy,
    ChumpySelect,
    Encoded,
    Sparse,
    SparseByColumn,
    Type,
    Unread,
    empty_bytes,
    from_buffer,
    rebuild,
    scalar,
    to_array,
)
from bilayer_graph.body.pickle_literals import PickleError
from bilayer_graph.body.pickle_machine import RefusedNameError, StandIn, run_pickle
from bilayer_graph.body.raw_array import MAX_NUMBERS


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    table: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): Unread,
        ("numpy", "dtype"): Type,
        ("_codecs", "encode"): Encoded,
        ("chumpy.ch", "Ch"): Chumpy,
        ("chumpy.reordering", "Select"): ChumpySelect,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = Array
        table[f"{core}.multiarray", "scalar"] = scalar
        table[f"{core}.numeric", "_frombuffer"] = from_buffer
    for module in ("copy_reg", "copyreg"):
        table[module, "_reconstructor"] = rebuild
    for module in ("__builtin__", "builtins"):
        table[module, "object"] = Unread
        table[module, "set"] = Unread
        table[module, "bytes"] = empty_bytes
    for layout, stand_in in (("csc", SparseByColumn), ("csr", Sparse)):
        for module in (f"scipy.sparse.{layout}", f"scipy.sparse._{layout}"):
            table[module, f"{layout}_matrix"] = stand_in
    return table


_ALLOWED = _allowed()


def _field(content: dict[str, Any], name: str) -> np.ndarray:
    try:
        return to_array(content[name])
    except FieldError as error:
        raise FieldError(f"the field {name} {error}") from error
    except Exception as error:  # forged states can raise anything
        raise FieldError(f"the field {name} is no array ({one_line(error)})") from error


def read_pickle(path: Path, wanted: Callable[[str], object]) -> dict[str, np.ndarray]:
    """Read the arrays of a pickled dictionary whose names are wanted, and look at no others.

    Only numpy arrays, chumpy arrays and scipy's compressed matrices are read, none of them by
    the packages that define them. Any other class is refused.

    Raises:
        FieldError: If the pickle names another class, is truncated, or is not a dictionary; or a
            field is no array of plain numbers, or they are larger than any body.
    """
    try:
        content = run_pickle(path.read_bytes(), _ALLOWED)
    except RefusedNameError as error:
        problem = f"the pickle asks for the class {error}, which is not on the allow-list"
        raise FieldError(problem) from error
    except (PickleError, OSError, MemoryError) as error:
        raise FieldError(f"not a readable .npz file or pickle ({one_line(error)})") from error
    if not isinstance(content, dict):
        kind = "object" if isinstance(content, StandIn) else type(content).__name__
        raise FieldError(f"holds one {kind}, not a dictionary")
    arrays: dict[str, np.ndarray] = {}
    room = MAX_NUMBERS
    for name in filter(wanted, content):
        arrays[name] = _field(content, name)
        room -= arrays[name].size
        if room < 0:
            raise FieldError(f"brings the body to more than {MAX_NUMBERS} numbers")
    return arrays
