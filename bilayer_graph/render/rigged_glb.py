"""Bodies with a skeleton as binary glTF, posed, and moving where there are several poses."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from bilayer_graph.body import Rig
from bilayer_graph.render.gltf import GltfBuffer
from bilayer_graph.render.joint_names import animation_names
from bilayer_graph.render.mesh_files import CLAY
from bilayer_graph.render.motion import check_times, to_upright
from bilayer_graph.render.normals import Normals

# Joints that can move a vertex: what every viewer reads.
_JOINTS_A_VERTEX = 4


def write_rigged_glb(
    rig: Rig,
    path: Path,
    rotations: np.ndarray,
    translation: np.ndarray,
    times: np.ndarray | None = None,
) -> None:
    """Write a body in rest pose, its skeleton in the first pose, and the motion as an animation.

    y is up; where the camera looks along z, the body faces +z. A body that has more than four
    joints at a vertex keeps the four strongest.

    Args:
        rig: The body.
        path: The ``.glb`` file.
        rotations: Of the joints relative to their parents, the first in camera axes,
            ``[T, K, 3, 3]``.
        translation: Of the pelvis, metres in camera axes, ``[T, 3]``.
        times: Of the poses in seconds, from 0 on and growing, ``[T]``; no animation if ``None``.

    Raises:
        InputError: If the times do not grow from 0 on.
    """
    buffer = GltfBuffer()
    turns, moves = _local_poses(rotations, translation)
    count = len(rig.parents)
    joints = [
        {"name": name, "translation": offset.tolist(), "rotation": turn.tolist()}
        for name, offset, turn in zip(animation_names(count), rig.offsets, turns[0], strict=True)
    ]
    joints[0]["translation"] = moves[0].tolist()
    for joint, parent in enumerate(rig.parents[1:], start=1):
        joints[parent].setdefault("children", []).append(1 + joint)
    # The mesh is no child of a joint: what moves it is its skin alone.
    document: dict[str, Any] = {
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"name": "person", "mesh": 0, "skin": 0}, *joints],
        "meshes": [{"name": "person", "primitives": [_primitive(rig, buffer)]}],
        "materials": [_material()],
        "skins": [_skin(rig, buffer)],
    }
    if times is not None:
        document["animations"] = [_animation(times, turns, moves, buffer)]
    buffer.write(document, path)


def _local_poses(rotations: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return quaternions (x, y, z, w) ``[T, K, 4]`` and places of the pelvis ``[T, 3]``, y up."""
    upright, moves = to_upright(rotations, translation)
    turns = Rotation.from_matrix(upright.reshape(-1, 3, 3)).as_quat()
    turns = turns.reshape(*upright.shape[:2], 4)
    # q and -q are one rotation; players go the short way only between those on one side.
    along = (turns[1:] * turns[:-1]).sum(-1, keepdims=True)
    turns[1:] *= np.cumprod(np.where(along < 0, -1.0, 1.0), axis=0)
    return turns.astype(np.float32), moves.astype(np.float32)


def _primitive(rig: Rig, buffer: GltfBuffer) -> dict[str, Any]:
    normals = Normals(rig.faces, len(rig.vertices))(rig.vertices[None])[0]
    strongest = rig.weights.topk(min(_JOINTS_A_VERTEX, rig.weights.size(1)), dim=1)
    missing = _JOINTS_A_VERTEX - strongest.values.size(1)
    weights = torch.nn.functional.pad(strongest.values, (0, missing))
    # Joints of no weight must be named 0.
    joints = torch.nn.functional.pad(strongest.indices, (0, missing)) * (weights > 0)
    weights = weights / weights.sum(1, keepdim=True)
    return {
        "attributes": {
            "POSITION": buffer.add_vertices(rig.vertices.numpy(), bounds=True),
            "NORMAL": buffer.add_vertices(torch.nn.functional.normalize(normals, dim=-1).numpy()),
            "JOINTS_0": buffer.add_vertices(joints.numpy().astype(np.uint16)),
            "WEIGHTS_0": buffer.add_vertices(weights.numpy()),
        },
        "indices": buffer.add_faces(rig.faces.numpy()),
        "material": 0,
    }


def _material() -> dict[str, Any]:
    colour = [part / 255 for part in CLAY]
    surface = {"baseColorFactor": colour, "metallicFactor": 0.0, "roughnessFactor": 0.8}
    return {"name": "clay", "pbrMetallicRoughness": surface}


def _skin(rig: Rig, buffer: GltfBuffer) -> dict[str, Any]:
    count = len(rig.parents)
    inverse = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    inverse[:, :3, 3] = -rig.joints.numpy()
    joints = list(range(1, 1 + count))
    return {
        "name": "body",
        "skeleton": 1,
        "joints": joints,
        "inverseBindMatrices": buffer.add(inverse),
    }


def _animation(
    times: np.ndarray, turns: np.ndarray, moves: np.ndarray, buffer: GltfBuffer
) -> dict[str, Any]:
    seconds = times.astype(np.float32)
    check_times(seconds)
    clock = buffer.add(seconds, bounds=True)
    curves = [(1, "translation", moves)]
    curves += [(1 + joint, "rotation", turns[:, joint]) for joint in range(turns.shape[1])]
    samplers, channels = [], []
    for sampler, (node, path, values) in enumerate(curves):
        samplers.append({"input": clock, "output": buffer.add(np.ascontiguousarray(values))})
        channels.append({"sampler": sampler, "target": {"node": node, "path": path}})
    return {"name": "motion", "samplers": samplers, "channels": channels}
