"""Read SMPL pickles without running them: an allow-list of array types, nothing else."""

import importlib
import pickle
from abc import ABC, abstractmethod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bilayer_graph.errors import InputError

_REMEDY = "Give the official SMPL .pkl or an .npz with the same fields"


class _Captured(ABC):
    """Stands in for a class that must not run: keeps what the pickle says its state is."""

    state: dict[str, Any]

    def __init__(self) -> None:
        self.state = {}

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, dict) else {}

    @abstractmethod
    def to_array(self) -> np.ndarray:
        """Return the array that the captured object was."""


class _Chumpy(_Captured):
    """A chumpy array: the array that it wraps."""

    def to_array(self) -> np.ndarray:
        return _to_array(self.state["x"])


class _ChumpySelect(_Captured):
    """A chumpy view: entries of the flattened array that it looks at."""

    def to_array(self) -> np.ndarray:
        picked = _to_array(self.state["a"]).ravel()[np.asarray(self.state["idxs"])]
        return picked.reshape(self.state.get("preferred_shape", picked.shape))


class _Sparse(_Captured):
    """A scipy matrix in compressed form."""

    by_column = False

    def to_array(self) -> np.ndarray:
        shape = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        dense = np.zeros(shape, self.state["data"].dtype)
        lines = np.repeat(np.arange(shape[self.by_column]), np.diff(self.state["indptr"]))
        row, column = (
            (self.state["indices"], lines) if self.by_column else (lines, self.state["indices"])
        )
        np.add.at(dense, (row, column), self.state["data"])
        return dense


class _SparseByColumn(_Sparse):
    by_column = True


def _new(cls: type, base: type, state: object) -> _Captured:
    """What `copyreg._reconstructor` does, for stand-ins only."""
    if not (issubclass(cls, _Captured) and base is object and state is None):
        raise pickle.UnpicklingError(f"cannot rebuild {cls.__name__}")
    return cls()


def _latin1(text: str, encoding: str) -> bytes:
    """What `_codecs.encode` does for the bytes that old pickles hold as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding}")
    return text.encode("latin1")


def _numpy_core() -> ModuleType:
    return importlib.import_module("numpy._core" if np.__version__ >= "2" else "numpy.core")


def _allowed() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1,
        ("chumpy.ch", "Ch"): _Chumpy,
        ("chumpy.reordering", "Select"): _ChumpySelect,
    }
    for core in ("numpy.core", "numpy._core"):
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        ):
            table[f"{core}.{module}", name] = getattr(getattr(_numpy_core(), module), name)
    for module in ("copy_reg", "copyreg"):
        table[module, "_reconstructor"] = _new
    for module in ("__builtin__", "builtins"):
        table[module, "object"] = object
        table[module, "set"] = set
    for layout, stand_in in (("csc", _SparseByColumn), ("csr", _Sparse)):
        for module in (f"scipy.sparse.{layout}", f"scipy.sparse._{layout}"):
            table[module, f"{layout}_matrix"] = stand_in
    return table


_ALLOWED = _allowed()


class _AllowListUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


class _RefusedError(pickle.UnpicklingError):
    pass


def _to_array(value: object) -> np.ndarray:
    return value.to_array() if isinstance(value, _Captured) else np.asarray(value)


def read_pickle(path: Path, fields: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays named ``fields`` of a pickled dictionary; those it lacks are left out.

    Only numpy arrays, chumpy arrays and scipy's compressed matrices are read, the latter two
    without the packages that define them. Any other class is refused before it is looked up.

    Raises:
        InputError: The pickle names another class, is truncated, or is not a dictionary.
    """
    try:
        with path.open("rb") as stream:
            content = _AllowListUnpickler(stream, encoding="latin1").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"holds a {type(content).__name__}, not a dictionary")
        return {name: _to_array(content[name]) for name in fields if name in content}
    except _RefusedError as error:
        problem = f"the pickle asks for the class {error}, which is not on the allow-list"
        raise InputError("body", path, problem, _REMEDY) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError("body", path, f"not a readable pickle ({error})", _REMEDY) from error
