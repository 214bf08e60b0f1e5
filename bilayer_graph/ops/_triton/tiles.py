"""How large the tiles of a kernel are, on each kind of GPU: a table that a script measures."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

PROGRAMS = 1024
"""Programs wanted, about eight for each multiprocessor of an H100."""

TABLE = Path(__file__).with_name("tiles.json")
"""Tiles of each compute capability that was measured, and the ``default`` of all others."""


class Tile(NamedTuple):
    """What a program holds at once.

    Attributes:
        size: Elements that it accumulates.
        width: Bytes of each row of features.
        warps: Warps that share them.
        depth: Entries of a sparse row that are loaded at once.
        dot: How products of float32 are computed: ``"ieee"``, or ``"tf32x3"`` on tensor cores.
    """

    size: int
    width: int
    warps: int
    depth: int = 1
    dot: str = "ieee"


@cache
def table() -> dict[str, dict[str, Tile]]:
    """Return the tiles by kind of GPU and kernel; no kind lacks a kernel."""
    kinds = json.loads(TABLE.read_text())
    whole = {kind: kinds["default"] | tiles for kind, tiles in kinds.items()}
    return {
        kind: {kernel: Tile(**tile) for kernel, tile in tiles.items()}
        for kind, tiles in whole.items()
    }


def tile(kernel: str, device: torch.device) -> Tile:
    """Return the tile of a kernel on a device."""
    return table().get(kind(device), table()["default"])[kernel]


def every_tile(kernel: str) -> list[Tile]:
    """Return the tiles of a kernel on all kinds of GPU."""
    return sorted({tiles[kernel] for tiles in table().values()})


@cache
def kind(device: torch.device) -> str:
    """Return the name of a kind of GPU in the table: its compute capability."""
    if device.type != "cuda":
        return "default"
    return "{}.{}".format(*torch.cuda.get_device_capability(device))
