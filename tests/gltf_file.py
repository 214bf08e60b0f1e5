"""Reads .glb files, as their standard lays them out."""

import json
import struct

import numpy as np
from scipy.spatial.transform import Rotation, Slerp


class Gltf:
    """What a .glb file says, read as its standard lays it out."""

    def __init__(self, path):
        data = path.read_bytes()
        magic, version, length, size, kind = struct.unpack("<4sIII4s", data[:20])
        assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
        self.document = json.loads(data[20 : 20 + size])
        self.binary = data[20 + size + 8 :]
        assert len(self.binary) == self.document["buffers"][0]["byteLength"]
        (self.mesh,) = self.document["meshes"]
        (self.part,) = self.mesh["primitives"]

    @property
    def skin(self):
        (skin,) = self.document["skins"]
        return skin

    def array(self, number):
        what = self.document["accessors"][number]
        view = self.document["bufferViews"][what["bufferView"]]
        dtype = {5123: "<u2", 5125: "<u4", 5126: "<f4"}[what["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[what["type"]]
        count = what["count"] * width
        assert view["byteLength"] == count * np.dtype(dtype).itemsize
        return np.frombuffer(self.binary, dtype, count, view["byteOffset"]).reshape(-1, width)

    def attribute(self, name):
        return self.array(self.part["attributes"][name])

    def locals(self, time=None):
        """Translations and rotations of the nodes, moved by the animation to a time."""
        nodes = self.document["nodes"]
        moves = [np.array(node.get("translation", [0.0, 0, 0])) for node in nodes]
        turns = [Rotation.from_quat(node.get("rotation", [0.0, 0, 0, 1])) for node in nodes]
        if time is not None:
            (animation,) = self.document["animations"]
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                times = self.array(sampler["input"])[:, 0]
                values = self.array(sampler["output"])
                node, kind = channel["target"]["node"], channel["target"]["path"]
                if kind == "translation":
                    moves[node] = np.array([np.interp(time, times, row) for row in values.T])
                else:
                    turns[node] = Slerp(times, Rotation.from_quat(values))(min(time, times[-1]))
        return moves, turns

    def skinned(self, time=None):
        """Vertices as the standard says to skin them, in float64."""
        moves, turns = self.locals(time)
        world = {}

        def visit_node(node, above):
            here = np.eye(4)
            here[:3, :3], here[:3, 3] = turns[node].as_matrix(), moves[node]
            world[node] = above @ here
            for child in self.document["nodes"][node].get("children", []):
                visit_node(child, world[node])

        for node in self.document["scenes"][0]["nodes"]:
            visit_node(node, np.eye(4))
        inverse = self.array(self.skin["inverseBindMatrices"]).reshape(-1, 4, 4)
        # Column by column.
        bones = np.stack([world[node] for node in self.skin["joints"]]) @ inverse.swapaxes(1, 2)
        joints, weights = self.attribute("JOINTS_0"), self.attribute("WEIGHTS_0")
        blended = np.einsum("vk,vkij->vij", weights, bones[joints])
        positions = np.pad(self.attribute("POSITION"), ((0, 0), (0, 1)), constant_values=1.0)
        return np.einsum("vij,vj->vi", blended, positions)[:, :3]
