"""JSON files of keypoints, fast and within bounds of memory."""

import json
import re
from pathlib import Path
from typing import Any

from bilayer_graph.errors import InputError

# COCO's largest keypoint file, 234 MB, is read.
MAX_BYTES = 2**28

# Flat lists of numbers make up nearly all of a file, and most are never asked for.
_NUMBERS = re.compile(
    rb'("(?:joints|(?:pose_)?keypoints(?:_2d)?)"\s*:\s*)\[(\s*[-\d][-+.\deE,\s]*)\]'
)


def read_json(path: Path, fields: frozenset[str], remedy: str) -> Any:
    """Read the content of a JSON file in UTF-8, 16 or 32.

    Flat lists of keypoints may stay text, ``"1, 2, 3"`` for ``[1, 2, 3]``: that takes a third of
    the time where a file is little else, and half the memory. See :func:`numbers`.

    Args:
        path: The file.
        fields: Fields of objects to keep; the others are dropped while the file is parsed, but for
            what is called otherwise in each file: objects that keep something, and numbered names.
        remedy: What to give instead.

    Raises:
        InputError: If it is larger than ``MAX_BYTES``, or not JSON.
    """

    def keep(found: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in found.items()
            if name in fields
            or (value and type(value) is dict)
            or (type(value) is str and name.isdecimal())
        }

    try:
        # Not strict: the text of a list may have line breaks.
        raw = _NUMBERS.sub(rb'\1"\2"', path.read_bytes())
        return json.loads(raw, object_hook=keep, strict=False)
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        problem = f"not readable as JSON ({str(error)[:200]})"
        raise InputError("keypoints", path, problem, remedy) from error


def numbers(values: Any) -> Any:
    """Return a list that :func:`read_json` left as text; anything else as it is.

    Raises:
        ValueError: If the text is no list.
    """
    return json.loads(f"[{values}]") if isinstance(values, str) else values


def objects(values: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, empty ones for what is none; nothing of what is no list."""
    values = values if isinstance(values, list) else []
    return [value if isinstance(value, dict) else {} for value in values]
