"""Plain arrays of an .npz file, read in memory bounded by what a body needs."""

import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from bilayer_graph.body.field_error import FieldError, one_line
from bilayer_graph.body.raw_array import (
    MAX_NUMBERS,
    array_from_bytes,
    count_numbers,
    number_type,
)

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 4096
_MAX_DIRECTORY = 2**20
_CHUNK = 2**20
_HEADER = re.compile(
    r"\{\s*'descr':\s*(?P<descr>.+?),\s*'fortran_order':\s*(?P<by_column>True|False),"
    r"\s*'shape':\s*\((?P<shape>[-\dL, ]*)\),?\s*\}\s*",
    re.DOTALL,
)


def read_npz(path: Path, wanted: Callable[[str], object]) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` file whose names are wanted; the others are not looked at.

    Raises:
        FieldError: If the file is damaged, or a field is no array of plain numbers, or they are
            larger than any body.
    """
    try:
        with path.open("rb") as stream:
            _check_directory(stream)
            with zipfile.ZipFile(stream) as content:
                return _read_members(content, wanted)
    except FieldError:
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise FieldError(f"not a readable .npz file ({one_line(error)})") from error


def _check_directory(stream: IO[bytes]) -> None:
    """Refuse archives of millions of members, which zipfile would list in memory."""
    end = stream.seek(0, 2)
    stream.seek(max(0, end - 42))
    tail = stream.read()
    record = tail[-22:]
    if not record.startswith(b"PK\5\6") or record[-2:] != b"\0\0":
        raise FieldError("not a readable .npz file (its end is missing)")
    size = struct.unpack("<I", record[12:16])[0]
    if size > _MAX_DIRECTORY or tail.startswith(b"PK\6\7"):
        raise FieldError("not a readable .npz file (too many members)")


def _read_members(
    content: zipfile.ZipFile, wanted: Callable[[str], object]
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    room = MAX_NUMBERS
    for member in content.infolist():
        name = member.filename.removesuffix(".npy")
        if not wanted(name):
            continue
        if name in arrays:
            raise FieldError(f"holds the field {name} twice")
        # The other methods can claim gigabytes for their dictionaries; numpy never writes them.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FieldError("not a readable .npz file (an unknown compression)")
        try:
            with content.open(member) as stream:
                arrays[name] = _read_npy(stream, room)
        except FieldError as error:
            raise FieldError(f"the field {name} {error}") from error
        room -= arrays[name].size
    return arrays


def _read_npy(stream: IO[bytes], room: int) -> np.ndarray:
    """Read the array of one member; its header is matched, never evaluated."""
    header = _HEADER.fullmatch(_read_header(stream))
    if header is None:
        raise FieldError("is no array")
    dtype = number_type(header["descr"].strip("'\""))
    sizes = header["shape"].replace("L", "").split(",")
    shape = tuple(int(size) for size in sizes if size.strip())
    count = count_numbers(shape)
    if count > room:
        raise FieldError(f"brings the body to more than {MAX_NUMBERS} numbers")
    content = _read_exactly(stream, count * dtype.itemsize)
    if stream.read(1):  # asking beyond the end also makes zipfile compare the checksum
        raise FieldError("has more bytes than its shape needs")
    return array_from_bytes(content, dtype, shape, header["by_column"] == "True")


def _read_header(stream: IO[bytes]) -> str:
    start = stream.read(8)
    if start[:6] != _MAGIC or start[6:7] not in (b"\1", b"\2", b"\3"):
        raise FieldError("is no array")
    layout = "<H" if start[6] == 1 else "<I"
    length = struct.unpack(layout, _read_exactly(stream, struct.calcsize(layout)))[0]
    if length > _MAX_HEADER:
        raise FieldError("has a header too long for an array of numbers")
    return _read_exactly(stream, length).decode("latin1")


def _read_exactly(stream: IO[bytes], size: int) -> bytearray:
    """Read in pieces, so that a promise of gigabytes takes no more memory than is there."""
    content = bytearray()
    while len(content) < size:
        piece = stream.read(min(_CHUNK, size - len(content)))
        if not piece:
            raise EOFError("a field ends too early")
        content += piece
    return content
