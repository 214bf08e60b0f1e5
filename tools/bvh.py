"""Read BVH files: a hierarchy of joints and, for every frame, Euler angles in degrees."""

import math
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bilayer_graph.body import axis_angle_to_matrix
from bilayer_graph.errors import InputError

_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("rotation", "position")}
_MOTION = re.compile(r"^\s*MOTION\s*$", re.MULTILINE | re.IGNORECASE)
_TIMING = re.compile(
    r"\s*Frames\s*:\s*(?P<frames>\d+)\s+Frame\s+Time\s*:\s*(?P<seconds>\S+)", re.IGNORECASE
)
_REMEDY = "Give a complete BVH file: HIERARCHY, then MOTION with one row of numbers a frame"


@dataclass(frozen=True)
class Bvh:
    """A skeleton of J joints and its motion over F frames.

    Attributes:
        names: Name of each joint; End Sites are no joints.
        parents: The joint that each hangs on, before it in the order; -1 for a root.
        offsets: ``[J, 3]`` float64, from the parent to the joint where all angles are zero.
        channels: For each joint the kind of its columns, such as ``("zrotation", "xrotation")``.
        motion: ``[F, C]`` float64, the columns of all joints one after the other; angles in
            degrees.
        frame_time: Seconds from a frame to the next.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Tensor
    channels: tuple[tuple[str, ...], ...]
    motion: Tensor
    frame_time: float


def read_bvh(path: Path) -> Bvh:
    """Read a BVH file, whatever its line ends, indentation and order of channels.

    Raises:
        InputError: If the file cannot be read, or is no complete BVH.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        parts = _MOTION.split(text)
        if len(parts) != 2:
            raise ValueError(f"it has {len(parts) - 1} lines MOTION, not 1")
        names, parents, offsets, channels = _read_hierarchy(parts[0])
        motion, frame_time = _read_motion(parts[1], sum(map(len, channels)))
    except (OSError, ValueError) as error:
        raise InputError("BVH file", path, f"not readable: {error}", _REMEDY) from error
    return Bvh(names, parents, offsets, channels, motion, frame_time)


def world_rotations(bvh: Bvh, joints: Iterable[int], frames: slice) -> dict[int, Tensor]:
    r"""Return rotations of joints in the axes of the file, ``[F, 3, 3]`` float64 each.

    .. math:: G_j = G_{parent(j)} \, R_1(a_1) R_2(a_2) R_3(a_3)

    with the angles in the order of the file's channels. Positions are left out: they move joints,
    and turn none.

    Args:
        bvh: The file.
        joints: Which joints.
        frames: Which frames.
    """
    starts = np.cumsum([0, *(len(kinds) for kinds in bvh.channels)])
    world: dict[int, Tensor] = {}
    for joint in sorted(_with_ancestors(bvh, joints)):
        columns = bvh.motion[frames, starts[joint] : starts[joint + 1]]
        turn = _euler(columns, bvh.channels[joint])
        parent = bvh.parents[joint]
        world[joint] = turn if parent < 0 else world[parent] @ turn
    return world


def rest_positions(bvh: Bvh) -> Tensor:
    """Return where the joints are when all angles are zero: ``[J, 3]`` in the file's axes."""
    places: list[Tensor] = []
    for offset, parent in zip(bvh.offsets, bvh.parents, strict=True):
        places.append(offset if parent < 0 else places[parent] + offset)
    return torch.stack(places)


def _with_ancestors(bvh: Bvh, joints: Iterable[int]) -> set[int]:
    found: set[int] = set()
    for joint in joints:
        while joint >= 0 and joint not in found:
            found.add(joint)
            joint = bvh.parents[joint]
    return found


def _euler(columns: Tensor, kinds: tuple[str, ...]) -> Tensor:
    """Multiply the rotations among the columns ``[F, K]``, first to last: ``[F, 3, 3]``."""
    turn = torch.eye(3, dtype=columns.dtype).expand(len(columns), 3, 3)
    for column, kind in zip(columns.unbind(1), kinds, strict=True):
        if kind.endswith("rotation"):
            vector = torch.zeros(len(column), 3, dtype=columns.dtype)
            vector[:, "xyz".index(kind[0])] = column.deg2rad()
            turn = turn @ axis_angle_to_matrix(vector)
    return turn


_Hierarchy = tuple[tuple[str, ...], tuple[int, ...], Tensor, tuple[tuple[str, ...], ...]]


def _read_hierarchy(text: str) -> _Hierarchy:
    """Read names, parents, offsets and channels of the joints.

    Raises:
        ValueError: If the text holds no hierarchy.
    """
    words = deque(text.replace("{", " { ").replace("}", " } ").split())
    if not words or words.popleft().upper() != "HIERARCHY":
        raise ValueError("it does not begin with HIERARCHY")
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    open_joints: list[int | None] = []  # None for an End Site
    while words:
        word = words.popleft().upper()
        here = open_joints[-1] if open_joints else None
        if word in ("ROOT", "JOINT"):
            if (word == "JOINT") != (here is not None):
                raise ValueError(f"a {word} stands where none can be")
            parents.append(-1 if here is None else here)
            names.append(_name(words))
            open_joints.append(len(names) - 1)
            offsets.append([0.0, 0.0, 0.0])
            channels.append(())
        elif word == "END" and here is not None:
            _name(words)
            open_joints.append(None)
        elif word == "OFFSET" and open_joints:
            offset = [_number(_next(words)) for _ in range(3)]
            if here is not None:
                offsets[here] = offset
        elif word == "CHANNELS" and here is not None:
            channels[here] = _channels(words, names[here])
        elif word == "}" and open_joints:
            open_joints.pop()
        else:
            raise ValueError(f"the word {word[:40]} stands where none can be in the hierarchy")
    if open_joints or not names:
        raise ValueError("the hierarchy is not complete")
    return tuple(names), tuple(parents), torch.tensor(offsets).double(), tuple(channels)


def _next(words: deque[str]) -> str:
    if not words:
        raise ValueError("the hierarchy ends early")
    return words.popleft()


def _name(words: deque[str]) -> str:
    """Take the words up to the opening brace, which goes too."""
    name = []
    while (word := _next(words)) != "{":
        name.append(word)
    return " ".join(name)


def _channels(words: deque[str], joint: str) -> tuple[str, ...]:
    kinds = tuple(_next(words).lower() for _ in range(int(_next(words))))
    for kind in kinds:
        if kind not in _CHANNELS:
            raise ValueError(f"the joint {joint} has a channel {kind[:40]}")
    return kinds


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it has the number {text}")
    return number


def _read_motion(text: str, columns: int) -> tuple[Tensor, float]:
    """Read the numbers ``[F, C]`` and the seconds from a frame to the next.

    Raises:
        ValueError: If there are too few or too many numbers, or a word among them.
    """
    timing = _TIMING.match(text)
    if timing is None:
        raise ValueError("MOTION does not go on with Frames: and Frame Time:")
    frames, seconds = int(timing["frames"]), _number(timing["seconds"])
    if frames < 1 or columns < 1 or seconds <= 0:
        raise ValueError(f"{frames} frames of {columns} channels every {seconds:g} s are no motion")
    words = text[timing.end() :].split()
    if len(words) != frames * columns:
        raise ValueError(
            f"the motion has {len(words)} numbers, {len(words) / columns:.1f} of {frames} frames "
            f"of {columns} (cut off?)"
        )
    numbers = torch.from_numpy(np.fromiter(map(float, words), np.float64, len(words)))
    numbers = numbers.view(frames, columns)
    finite = numbers.isfinite().all(1)
    if not finite.all():
        raise ValueError(f"frame {int(finite.int().argmin())} has NaN or infinity")
    return numbers, seconds
