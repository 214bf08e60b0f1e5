"""Keypoints in a NumPy array."""

from pathlib import Path

import numpy as np

from bilayer_graph.errors import InputError
from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.person_rows import MAX_PEOPLE, REMEDY, Row, too_many

_ORDERS = (JOINT_ORDERS["limbs"], JOINT_ORDERS["coco"])


def read_npy(path: Path) -> list[Row]:
    """Read the people of a ``.npy`` of shape ``[J, 2 | 3]`` or ``[P, J, 2 | 3]``.

    Raises:
        InputError: If it is no such array.
    """
    try:
        # Mapped, not read: a header may promise any amount of numbers.
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # the header is parsed as Python, which fails in many ways
        problem = f"not a readable .npy ({str(error)[:200]})"
        raise InputError("keypoints", path, problem, REMEDY) from error
    return array_rows(path, array)


def array_rows(path: Path, array: np.ndarray) -> list[Row]:
    """Return the people of an array, as :func:`read_npy` takes it; ``path`` is for messages.

    Raises:
        InputError: If it is no such array.
    """
    array = np.asarray(array)  # of a matrix, a row is none
    if array.dtype.kind not in "fiu" or array.ndim not in (2, 3) or array.shape[-1] not in (2, 3):
        found = f"an array of {str(array.dtype)[:80]} {list(array.shape)}"
        raise InputError("keypoints", path, f"{found}, not [P, J, 2 or 3]", REMEDY)
    people = array.reshape(-1, *array.shape[-2:])
    if len(people) > MAX_PEOPLE:
        raise too_many(path, len(people))
    return [Row(_triples(person), _ORDERS) for person in np.array(people)]


def _triples(person: np.ndarray) -> np.ndarray:
    """Return ``[J, 3]`` from ``[J, 2 | 3]``; without a third column only (0, 0) is not visible."""
    if person.shape[1] == 3:
        return person
    there = (person != 0).any(axis=1, keepdims=True)
    return np.concatenate([person.astype(np.float64), there], axis=1)
