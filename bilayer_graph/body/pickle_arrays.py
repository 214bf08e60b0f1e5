"""Arrays of a pickle: numpy's, chumpy's and scipy's, as stand-ins that keep their state."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from bilayer_graph.body.field_error import FieldError, one_line
from bilayer_graph.body.pickle_literals import PickleError
from bilayer_graph.body.pickle_machine import MAX_STEPS, StandIn
from bilayer_graph.body.raw_array import array_from_bytes, count_numbers, number_type

_DEPTH = 8


class Unread(StandIn):
    """An object that may be in the file, but holds no field."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments


class Encoded(StandIn):
    """Bytes that an old pickle holds as text: what ``_codecs.encode`` would make of it."""

    def __init__(self, text: object, encoding: object) -> None:
        if encoding != "latin1" or not isinstance(text, str):
            name = one_line(encoding[:20]) if isinstance(encoding, str) else "of no name"
            raise PickleError(f"the encoding {name}")
        self.text = text


class Type(StandIn):
    """A ``numpy.dtype``: the name of a type, and its byte order in the state."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = name

    def _read(self) -> np.dtype:
        order: object = ""
        if self.state is not None:
            _, order, *record = _tuple(self.state)[:5]
            if record != [None, None, None]:
                raise FieldError("is not numeric")
        if not isinstance(order, str) or not isinstance(self.name, str):
            raise FieldError("is not numeric")
        return number_type(order + self.name)


class _Object(StandIn, ABC):
    """An object of which an array can be made."""

    @abstractmethod
    def _read(self, depth: int) -> np.ndarray:
        """Return the array that the object was, looking at most ``depth`` objects deep."""


class Array(_Object):
    """A numpy array."""

    def __init__(self, *_: object) -> None:
        pass

    def _read(self, depth: int) -> np.ndarray:
        _, shape, dtype, by_column, content = _tuple(self.state)
        if not isinstance(dtype, Type):
            raise FieldError("is not numeric")
        return array_from_bytes(_bytes(content), dtype._read(), shape, bool(by_column))


def from_buffer(content: object, dtype: object, shape: object, order: object) -> Array:
    """Return a numpy array, as the newest pickles write it."""
    array = Array()
    array.state = (1, shape, dtype, order == "F", content)
    return array


def scalar(dtype: object, content: object = b"") -> Array:
    """Return a single number of numpy's."""
    return from_buffer(content, dtype, (), "C")


class Chumpy(_Object):
    """A chumpy array: the array that it wraps."""

    def _read(self, depth: int) -> np.ndarray:
        return to_array(_state(self)["x"], depth)


class ChumpySelect(_Object):
    """A chumpy view: entries of the flattened array that it looks at."""

    def _read(self, depth: int) -> np.ndarray:
        state = _state(self)
        places = _whole_numbers(state["idxs"]).ravel()
        picked: np.ndarray = to_array(state["a"], depth).ravel()[places]
        return picked.reshape(_shape(state.get("preferred_shape", picked.shape)))


class Sparse(_Object):
    """A scipy matrix in compressed form, by row."""

    by_column = False

    def _read(self, depth: int) -> np.ndarray:
        state = _state(self)
        shape = _shape(state["_shape"] if "_shape" in state else state["shape"])
        if len(shape) != 2 or 0 in shape:
            raise FieldError("is a sparse matrix of no two sizes")
        lines, others = reversed(shape) if self.by_column else shape
        values = _plain(state["data"])
        places, starts = _whole_numbers(state["indices"]), _whole_numbers(state["indptr"])
        _check_compressed(values, places, starts, lines, others)
        dense = np.zeros((lines, others), values.dtype)
        np.add.at(dense, (np.repeat(np.arange(lines), np.diff(starts)), places), values)
        return dense.T if self.by_column else dense


class SparseByColumn(Sparse):
    """A scipy matrix in compressed form, by column."""

    by_column = True


def _check_compressed(
    values: np.ndarray, places: np.ndarray, starts: np.ndarray, lines: int, others: int
) -> None:
    """Refuse indices that would wrap around, or leave entries out."""
    fits = (
        values.ndim == places.ndim == starts.ndim == 1
        and len(values) == len(places)
        and len(starts) == lines + 1
        and starts[0] == 0
        and starts[-1] == len(values)
        and (np.diff(starts) >= 0).all()
        and ((places >= 0) & (places < others)).all()
    )
    if not fits:
        raise FieldError("is a sparse matrix with wrong indices")


def empty_bytes() -> bytes:
    """Return the bytes of an empty array, as old pickles write them."""
    return b""


def rebuild(cls: object, base: object, state: object) -> StandIn:
    """Do what ``copyreg._reconstructor`` does, for stand-ins only."""
    if not isinstance(cls, type) or base is not Unread or state is not None:
        raise PickleError("it rebuilds something that is no object")
    stand_in: StandIn = cls()
    return stand_in


def _tuple(state: object) -> tuple[Any, ...]:
    if not isinstance(state, tuple) or len(state) < 5:
        raise FieldError("has a state that no array has")
    return state


def _state(stand_in: StandIn) -> dict[str, Any]:
    if not isinstance(stand_in.state, dict):
        raise FieldError("has a state that no array has")
    return stand_in.state


def _bytes(content: object) -> bytes:
    if isinstance(content, Encoded):
        content = content.text
    if isinstance(content, str):  # Python 2 made no difference between bytes and text
        return content.encode("latin1")
    if not isinstance(content, bytes):
        raise FieldError("is not numeric")
    return content


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) > 3:
        raise FieldError("has a shape that no field of a body has")
    shape = tuple(int(_whole_numbers(size)) for size in value)
    count_numbers(shape)
    return shape


def _plain(value: object) -> np.ndarray:
    """Return a part of an object as an array; it is never an object: those could multiply."""
    if isinstance(value, _Object) and not isinstance(value, Array):
        raise FieldError("is wrapped in an unknown way")
    return to_array(value)


def _whole_numbers(value: object) -> np.ndarray:
    array = _plain(value)
    if array.dtype.kind not in "iu":
        raise FieldError("has indices that are no whole numbers")
    return array.astype(np.int64)


def to_array(value: object, depth: int = _DEPTH) -> np.ndarray:
    """Return the array that a value of a pickle is.

    Raises:
        FieldError: If it is none of plain numbers, larger than any body, or forged.
    """
    if isinstance(value, _Object):
        if depth == 0:
            raise FieldError("is wrapped too deep")
        return value._read(depth - 1)
    if isinstance(value, list | tuple):
        return _nested_to_array(value)
    if type(value) in (int, float):
        return np.asarray(value)
    raise FieldError("is not numeric")


def _nested_to_array(value: Any) -> np.ndarray:
    """Convert lists in lists to an array; NumPy's way unfolds shared lists without end."""
    shape: list[int] = []
    probe = value
    while isinstance(probe, list | tuple) and len(shape) < 4:
        shape.append(len(probe))
        probe = probe[0] if probe else None
    if not 0 < count_numbers(tuple(shape)) <= MAX_STEPS:
        raise FieldError(f"claims no numbers or more than {MAX_STEPS} in lists")
    numbers: list[Any] = [value]
    for size in shape:
        if not all(isinstance(row, list | tuple) and len(row) == size for row in numbers):
            raise FieldError("has rows of different lengths")
        numbers = [number for row in numbers for number in row]
    if not all(type(number) in (int, float) for number in numbers):
        raise FieldError("is not numeric")
    return np.array(numbers).reshape(shape)
