"""Arrays from bytes whose type and shape a file claims: a fixed list of types, a fixed size."""

import math
import re

import numpy as np

from bilayer_graph.body.field_error import FieldError

MAX_NUMBERS = 2**25
"""Numbers that all fields of a body may have together; SMPL with 300 shapes has 11 million."""

# NumPy's own parser of type names reaches objects and pointers; these ten types hold numbers only.
_TYPE = re.compile(r"([<>=|]?)(f2|f4|f8|[iu][1248])")


def number_type(name: object) -> np.dtype:
    """Return the type of plain numbers that a name such as ``<f8`` means.

    Raises:
        FieldError: If it is any other type, such as text, objects, records or long doubles.
    """
    found = _TYPE.fullmatch(name) if isinstance(name, str) else None
    if found is None or (found[1] == "|" and found[2][1] != "1"):
        raise FieldError("is not numeric")
    return np.dtype(found[1].replace("|", "") + found[2])


def count_numbers(shape: object) -> int:
    """Return the numbers that an array of this shape has.

    Raises:
        FieldError: If the shape is no tuple of small sizes, or has too many numbers.
    """
    if not isinstance(shape, tuple) or len(shape) > 3 or not all(type(n) is int for n in shape):
        raise FieldError("has a shape that no field of a body has")
    if any(size < 0 for size in shape):
        raise FieldError("has a negative shape")
    if max(math.prod(shape), *shape, 0, 0) > MAX_NUMBERS:
        raise FieldError(f"claims more than {MAX_NUMBERS} numbers")
    return math.prod(shape)


def array_from_bytes(
    content: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], by_column: bool
) -> np.ndarray:
    """Return the array that bytes hold, in this machine's byte order and row by row.

    Raises:
        FieldError: If the bytes are not as many as the type and shape need.
    """
    if len(content) != count_numbers(shape) * dtype.itemsize:
        raise FieldError("has more or fewer bytes than its shape needs")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")
    return array.astype(dtype.newbyteorder("="), order="C")
