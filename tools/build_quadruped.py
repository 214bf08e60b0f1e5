"""Build the quadruped of the examples, a body file: ``python tools/build_quadruped.py --out FILE``.

A closed mesh from round cones, with joints, skinning weights, shapes, a skeleton of 21 joints and
how far each joint turns. Takes seconds, and gives the same bytes each time.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import igl
import numpy as np

from bilayer_graph.body import Skeleton
from bilayer_graph.body.skeleton_fields import pack_skeleton
from bilayer_graph.graphs.collapse import decimate

Point = tuple[float, float, float]


class Joint(NamedTuple):
    """A skinning joint.

    Attributes:
        parent: Name of the joint that carries it.
        place: Metres; x left, y up, z front.
        turn: Degrees: mean about x, then standard deviations about x, y and z.
    """

    parent: str
    place: Point
    turn: tuple[float, float, float, float]


class Flesh(NamedTuple):
    """A round cone from a joint, or from ``start``, to ``end``; metres."""

    joint: str
    end: Point
    radius: float
    end_radius: float
    start: Point | None = None


JOINTS: dict[str, Joint] = {
    "pelvis": Joint("", (0, 0.80, -0.38), (0, 0, 0, 0)),
    "spine": Joint("pelvis", (0, 0.82, -0.05), (0, 6, 6, 4)),
    "chest": Joint("spine", (0, 0.82, 0.25), (0, 6, 6, 4)),
    "neck": Joint("chest", (0, 0.93, 0.42), (12, 28, 18, 5)),
    "head": Joint("neck", (0, 1.22, 0.60), (0, 16, 16, 6)),
    "tail": Joint("pelvis", (0, 0.86, -0.54), (0, 22, 25, 8)),
    "tail_end": Joint("tail", (0, 0.68, -0.66), (0, 18, 18, 8)),
    "left_shoulder": Joint("chest", (0.13, 0.74, 0.28), (0, 24, 5, 6)),
    "left_elbow": Joint("left_shoulder", (0.14, 0.50, 0.24), (-12, 16, 0, 3)),
    "left_wrist": Joint("left_elbow", (0.14, 0.27, 0.28), (18, 20, 0, 2)),
    "left_hip": Joint("pelvis", (0.12, 0.76, -0.38), (0, 24, 5, 6)),
    "left_knee": Joint("left_hip", (0.14, 0.53, -0.30), (12, 16, 0, 3)),
    "left_hock": Joint("left_knee", (0.14, 0.30, -0.46), (-12, 16, 0, 2)),
}
FLESH: tuple[Flesh, ...] = (
    Flesh("pelvis", (0, 0.82, -0.05), 0.165, 0.175),
    Flesh("pelvis", (0, 0.80, -0.46), 0.16, 0.13),
    Flesh("spine", (0, 0.81, 0.25), 0.175, 0.18),
    Flesh("chest", (0, 0.82, 0.34), 0.18, 0.15),
    Flesh("chest", (0, 0.93, 0.42), 0.16, 0.12),
    Flesh("neck", (0, 1.22, 0.60), 0.115, 0.075),
    Flesh("head", (0, 1.11, 0.86), 0.09, 0.048),
    Flesh("head", (0.10, 1.40, 0.53), 0.034, 0.02, start=(0.05, 1.27, 0.56)),
    Flesh("tail", (0, 0.68, -0.66), 0.04, 0.032),
    Flesh("tail_end", (0, 0.47, -0.70), 0.036, 0.03),
    Flesh("left_shoulder", (0.14, 0.50, 0.24), 0.09, 0.06),
    Flesh("left_elbow", (0.14, 0.27, 0.28), 0.055, 0.04),
    Flesh("left_wrist", (0.14, 0.04, 0.28), 0.037, 0.042),
    Flesh("left_hip", (0.14, 0.53, -0.30), 0.115, 0.07),
    Flesh("left_knee", (0.14, 0.30, -0.46), 0.065, 0.042),
    Flesh("left_hock", (0.14, 0.04, -0.42), 0.038, 0.042),
)
# Ends of the skeleton graph that are no skinning joints.
TIPS: dict[str, Point] = {
    "nose": (0, 1.11, 0.88),
    "tail_tip": (0, 0.47, -0.70),
    "left_fore_hoof": (0.14, 0.03, 0.28),
    "left_hind_hoof": (0.14, 0.03, -0.42),
}
# Joints of the skeleton graph in the order of its bones; the right side follows from the left.
CHAINS: tuple[str, ...] = (
    "nose head neck tail tail_tip",
    "neck left_shoulder left_elbow left_wrist left_fore_hoof",
    "tail left_hip left_knee left_hock left_hind_hoof",
)
VOXEL = 0.025
BLEND = 0.02
NUM_VERTICES = 1500
NETWORK_VERTICES = 360


def right(name: str) -> str:
    """Return the name of the same joint on the right side."""
    return name.replace("left_", "right_")


def mirror(point: Point) -> Point:
    """Return the same point on the right side."""
    return (-point[0], point[1], point[2])


# Middle joints are their own mirror images.
JOINTS |= {right(n): Joint(right(j.parent), mirror(j.place), j.turn) for n, j in JOINTS.items()}
TIPS |= {right(name): mirror(place) for name, place in TIPS.items()}
FLESH += tuple(
    Flesh(right(part.joint), mirror(part.end), *part[2:4], part.start and mirror(part.start))
    for part in FLESH
    if part.end[0]
)
CHAINS += tuple(right(chain) for chain in CHAINS[1:])


def build() -> dict[str, np.ndarray]:
    """Return all fields of the body file, in steps that hide what machines round differently."""
    vertices, faces = build_mesh()
    skeleton, names = build_skeleton(), list(JOINTS)
    places = {name: joint.place for name, joint in JOINTS.items()}
    parents = [names.index(joint.parent) if joint.parent else -1 for joint in JOINTS.values()]
    turn = np.radians([joint.turn for joint in JOINTS.values()])
    return {
        "v_template": vertices.astype(np.float32),
        "shapedirs": shape_directions(vertices).astype(np.float16),
        "J_regressor": regressor([places[name] for name in names], vertices),
        "joint_regressor": regressor([(places | TIPS)[name] for name in skeleton.names], vertices),
        "weights": skinning_weights(vertices),
        "kintree_table": np.array([parents, range(len(names))], np.int8),
        "f": faces.astype(np.uint16),
        **pack_skeleton(skeleton),
        "turn_mean": np.pad(turn[:, :1], ((0, 0), (0, 2))).astype(np.float32),
        "turn_spread": turn[:, 1:].astype(np.float32),
    }


def skinning_weights(vertices: np.ndarray) -> np.ndarray:
    """Return weights ``[V, K]``: of a joint's nearest flesh, in steps of 1/2048 that sum to 1."""
    near = np.exp(-flesh_distance(vertices) / BLEND)
    weights = np.stack(
        [near[:, [part.joint == name for part in FLESH]].max(axis=1) for name in JOINTS], axis=1
    )
    steps = np.round(2048 * weights / weights.sum(axis=1, keepdims=True))
    row = np.arange(len(steps))
    steps[row, steps.argmax(axis=1)] += 2048 - steps.sum(axis=1)
    rounded: np.ndarray = (steps / 2048).astype(np.float16)
    return rounded


def build_skeleton() -> Skeleton:
    """Return the 21 joints of the skeleton graph and their bones."""
    chains = [chain.split() for chain in CHAINS]
    names = tuple(dict.fromkeys(name for chain in chains for name in chain))
    bones = tuple(
        (names.index(start), names.index(end)) for chain in chains for start, end in pairwise(chain)
    )
    return Skeleton(names, bones, root=(names.index("left_hip"), names.index("right_hip")))


def build_mesh() -> tuple[np.ndarray, np.ndarray]:
    """Return vertices ``[1500, 3]`` and faces of the skin: marching cubes, then decimation."""
    axes = [np.arange(low, high, VOXEL) for low, high in ((-0.35, 0.36), (-0.06, 1.5), (-0.82, 1))]
    z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
    grid = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    # A smooth minimum welds the parts.
    field = -BLEND * np.log(np.exp(-flesh_distance(grid) / BLEND).sum(axis=1))
    vertices, faces, _ = igl.marching_cubes(field, grid, *(len(axis) for axis in axes))
    vertices, faces = decimate(vertices, faces, NUM_VERTICES)
    return vertices.round(5), faces


def flesh_distance(points: np.ndarray) -> np.ndarray:
    """Return the distance of points ``[P, 3]`` to the surface of each part, negative inside."""
    columns = []
    for part in FLESH:
        start = np.array(part.start or JOINTS[part.joint].place)
        axis = np.array(part.end) - start
        along = ((points - start) @ axis / (axis @ axis)).clip(0, 1)
        radius = part.radius + along * (part.end_radius - part.radius)
        columns.append(np.linalg.norm(points - start - along[:, None] * axis, axis=1) - radius)
    return np.stack(columns, axis=1)


def shape_directions(vertices: np.ndarray) -> np.ndarray:
    """Return ``[V, 3, 4]``: long legs, a long body, a wide body, a long neck; metres a unit."""
    x, y, z = vertices.T
    zero = np.zeros_like(x)
    above = (y - 0.95).clip(0)
    directions = [
        (zero, 0.10 * (y - 0.7).clip(max=0), zero),
        (zero, zero, 0.08 * z),
        (0.12 * x, zero, zero),
        (zero, 0.16 * above, 0.08 * above),
    ]
    return np.stack([np.stack(direction, axis=1) for direction in directions], axis=2)


def regressor(points: list[Point], vertices: np.ndarray, nearest: int = 32) -> np.ndarray:
    """Return weights ``[J, V]`` of sum 1, as even as can be, that give points from vertices."""
    matrix = np.zeros((len(points), len(vertices)))
    for row, point in zip(matrix, np.array(points), strict=True):
        near = np.linalg.norm(vertices - point, axis=1).argsort()[:nearest]
        system = np.vstack([vertices[near].T, np.ones(nearest)])
        even = np.full(nearest, 1 / nearest)
        row[near] = even + np.linalg.pinv(system) @ (np.append(point, 1) - system @ even)
    return matrix.round(6).astype(np.float32)


def main() -> None:
    """Build the body and write it to ``--out``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    out = parser.parse_args().out
    fields: dict[str, Any] = dict(build())
    np.savez_compressed(out, **fields)
    print(f"wrote {out}, {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
