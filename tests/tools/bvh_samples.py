"""BVH files of a person with known angles, and what scipy makes of these."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from bilayer_graph.body import SMPL_JOINT_NAMES, SMPL_PARENTS

PARENT = {
    name: SMPL_JOINT_NAMES[parent]
    for name, parent in zip(SMPL_JOINT_NAMES[1:], SMPL_PARENTS[1:], strict=True)
}
# A person of 170 units in a T-pose, y up, facing +z; each joint from its parent in SMPL's tree.
T_POSE = {
    "pelvis": (0, 95, 0),
    "spine1": (0, 5, 0),
    "spine2": (0, 14, 0),
    "spine3": (0, 13, 0),
    "neck": (0, 18, 0),
    "head": (0, 10, 0),
    "left_collar": (3, 12, 0),
    "left_shoulder": (14, 1, 0),
    "left_elbow": (27, 0, -1),
    "left_wrist": (24, 0, 2),
    "left_hip": (10, -3, 1),
    "left_knee": (1, -40, 1),
    "left_ankle": (0, -42, -4),
}
SPREAD_LEGS = T_POSE | {"left_knee": (14, -38, 0), "left_ankle": (15, -40, 0)}
HANGING_ARMS = T_POSE | {"left_elbow": (5, -27, 0), "left_wrist": (3, -24, 3)}


def both_sides(offsets):
    """Adds the right side as the left one's mirror image."""
    mirrored = {
        name.replace("left", "right"): (-x, y, z)
        for name, (x, y, z) in offsets.items()
        if name.startswith("left")
    }
    return offsets | mirrored


@dataclass
class Person:
    """A person in a BVH file: names by body joint, offsets, angles, and how all this is written."""

    names: dict[str, str]
    offsets: dict[str, tuple[float, float, float]]
    order: str = "ZXY"
    axes: np.ndarray = field(default_factory=lambda: np.eye(3))  # from ours to the file's
    positions: bool = False  # position channels on every joint
    newline: str = "\n"

    def __post_init__(self):
        self.offsets = both_sides(self.offsets)
        self.joints = [name for name in SMPL_JOINT_NAMES if name in self.names]

    def parent(self, joint):
        """The nearest ancestor that the file has, and the offset from it."""
        offset, above = np.array(self.offsets[joint], float), PARENT.get(joint)
        while above is not None and above not in self.names:
            offset, above = offset + self.offsets[above], PARENT.get(above)
        return above, self.axes @ offset

    def random_angles(self, frames, size, seed=0):
        """Degrees [F, J, 3] in the order of the channels, up to ``size``."""
        random = np.random.default_rng(seed)
        return random.uniform(-size, size, (frames, len(self.joints), 3))

    def write(self, path: Path, angles, frame_time=1 / 120) -> Path:
        lines = ["HIERARCHY", *self._joint("pelvis", 0), "MOTION", f"Frames:\t{len(angles)}"]
        lines.append(f"Frame Time: {frame_time:.7f}")
        written = self._written_order()
        for frame in angles:
            row = []
            for joint in written:
                if joint == "pelvis" or self.positions:
                    row += list(self.parent(joint)[1])
                row += list(frame[self.joints.index(joint)])
            lines.append("\t".join(f"{number:.9f}" for number in row))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.newline.join([*lines, ""]).encode())
        return path

    def world(self, angles):
        """World rotations by body joint, scipy's, in our axes."""
        found = {}
        for place, joint in enumerate(self.joints):
            turn = Rotation.from_euler(self.order, angles[:, place], degrees=True)
            above = self.parent(joint)[0]
            found[joint] = turn if above is None else found[above] * turn
        axes = Rotation.from_matrix(self.axes)
        return {joint: axes.inv() * turn * axes for joint, turn in found.items()}

    def direction(self, world, joint, child):
        """Unit vectors [F, 3] of a bone, in our axes, from the file's angles."""
        offset = self.axes.T @ self.parent(child)[1]
        assert self.parent(child)[0] == joint
        return world[joint].apply(offset / np.linalg.norm(offset))

    def _written_order(self):
        order = []

        def visit(joint):
            order.append(joint)
            for child in self._children(joint):
                visit(child)

        visit("pelvis")
        return order

    def _children(self, joint):
        # Not in SMPL's order: the arms come before the neck, as in some exporters.
        return sorted(name for name in self.joints if self.parent(name)[0] == joint)

    def _joint(self, joint, depth):
        tabs = "\t" * depth
        kinds = [f"{axis}rotation" for axis in self.order]
        if joint == "pelvis" or self.positions:
            kinds = ["Xposition", "Yposition", "Zposition", *kinds]
        offset = " ".join(f"{number:.9f}" for number in self.parent(joint)[1])
        lines = [
            f"{tabs}{'JOINT' if depth else 'ROOT'} {self.names[joint]}",
            f"{tabs}{{",
            f"{tabs}\tOFFSET {offset}",
            f"{tabs}\tCHANNELS {len(kinds)} {' '.join(kinds)} ",
        ]
        for child in self._children(joint):
            lines += self._joint(child, depth + 1)
        if not self._children(joint):
            lines += [f"{tabs}\tEnd Site", f"{tabs}\t{{", f"{tabs}\t\tOFFSET 0 1 0", f"{tabs}\t}}"]
        return [*lines, f"{tabs}}}"]
