"""The values that stand in a pickle as they are: numbers, texts and bytes."""

import codecs
import pickle
import struct
from collections.abc import Callable
from typing import Any

_MAX_DIGITS = 64


class PickleError(ValueError):
    """A pickle that is damaged or does more than hold data."""


class PickleBytes:
    """The bytes of a pickle, taken from the front; a size that they lack is never allocated.

    Args:
        content: All of them.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def take(self, size: int) -> bytes:
        """Take the next bytes."""
        end = self._place + size
        if size < 0 or end > len(self._content):
            raise PickleError("it ends too early")
        piece = self._content[self._place : end]
        self._place = end
        return piece

    def number(self, layout: str) -> Any:
        """Take a number in a layout of :mod:`struct`."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def counted(self, layout: str) -> bytes:
        """Take as many bytes as the number in front of them says."""
        return self.take(self.number(layout))

    def line(self) -> bytes:
        """Take the bytes up to the end of the line."""
        end = self._content.find(b"\n", self._place)
        piece = self.take(end - self._place)
        self._place += 1
        return piece

    def digits(self) -> str:
        """Take a line that holds a number, short enough to be parsed at once."""
        text = self.line().decode("ascii").removesuffix("L")
        if len(text) > _MAX_DIGITS:
            raise PickleError("a number of too many digits")
        return text


def _number(layout: str) -> Callable[[PickleBytes], Any]:
    return lambda source: source.number(layout)


def _bytes(layout: str) -> Callable[[PickleBytes], bytes]:
    return lambda source: source.counted(layout)


def _latin1(layout: str) -> Callable[[PickleBytes], str]:
    return lambda source: source.counted(layout).decode("latin1")


def _unicode(layout: str) -> Callable[[PickleBytes], str]:
    return lambda source: source.counted(layout).decode("utf-8", "surrogatepass")


def _integer(source: PickleBytes) -> int:
    text = source.digits()
    return text == "01" if text in ("00", "01") else int(text)  # how old pickles write booleans


def _quoted(source: PickleBytes) -> str:
    text = source.line().strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise PickleError("a text without quotes")
    return codecs.escape_decode(text[1:-1])[0].decode("latin1")


LITERALS: dict[bytes, Callable[[PickleBytes], Any]] = {
    pickle.NONE: lambda source: None,
    pickle.NEWTRUE: lambda source: True,
    pickle.NEWFALSE: lambda source: False,
    pickle.INT: _integer,
    pickle.LONG: lambda source: int(source.digits()),
    pickle.LONG1: lambda source: int.from_bytes(source.counted("<B"), "little", signed=True),
    pickle.BININT: _number("<i"),
    pickle.BININT1: _number("<B"),
    pickle.BININT2: _number("<H"),
    pickle.FLOAT: lambda source: float(source.digits()),
    pickle.BINFLOAT: _number(">d"),
    pickle.STRING: _quoted,
    pickle.BINSTRING: _latin1("<i"),
    pickle.SHORT_BINSTRING: _latin1("<B"),
    pickle.UNICODE: lambda source: source.line().decode("raw-unicode-escape"),
    pickle.BINUNICODE: _unicode("<I"),
    pickle.SHORT_BINUNICODE: _unicode("<B"),
    pickle.BINUNICODE8: _unicode("<Q"),
    pickle.BINBYTES: _bytes("<I"),
    pickle.SHORT_BINBYTES: _bytes("<B"),
    pickle.BINBYTES8: _bytes("<Q"),
    pickle.BYTEARRAY8: _bytes("<Q"),
    pickle.EMPTY_LIST: lambda source: [],
    pickle.EMPTY_SET: lambda source: [],
    pickle.EMPTY_DICT: lambda source: {},
    pickle.EMPTY_TUPLE: lambda source: (),
}
"""What each instruction that pushes a value reads; sets are read as lists."""
