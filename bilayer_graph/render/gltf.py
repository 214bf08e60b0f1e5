"""Binary glTF 2.0: arrays as accessors of one buffer, and the container around them."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

_COMPONENTS = {"uint16": 5123, "uint32": 5125, "float32": 5126}
_KINDS = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_JSON, _BINARY = 0x4E4F534A, 0x004E4942
# What a buffer view is for, where it holds a mesh.
_VERTICES, _FACES = 34962, 34963


class GltfBuffer:
    """The arrays of a document, and the lists that describe them."""

    def __init__(self) -> None:
        self.accessors: list[dict[str, Any]] = []
        self.views: list[dict[str, int]] = []
        self._bytes = bytearray()

    def add(self, array: np.ndarray, bounds: bool = False, target: int | None = None) -> int:
        """Append an array of numbers, vectors or matrices; return the number of its accessor.

        Args:
            array: ``[N]``, ``[N, 3]``, ``[N, 4]`` or ``[N, 4, 4]``; uint16, uint32 or float32.
            bounds: Whether to say the least and greatest value of each column.
            target: What the standard calls the use of an array of a mesh.
        """
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": _COMPONENTS[array.dtype.name],
            "count": len(array),
            "type": _KINDS[array.shape[1:]],
        }
        if bounds:
            columns = array.reshape(len(array), -1)
            accessor |= {"min": columns.min(0).tolist(), "max": columns.max(0).tolist()}
        view = {"buffer": 0, "byteOffset": len(self._bytes), "byteLength": array.nbytes}
        self.views.append(view if target is None else view | {"target": target})
        self.accessors.append(accessor)
        # Matrices are stored column by column.
        self._bytes += (array.swapaxes(-1, -2) if array.ndim == 3 else array).tobytes()
        self._bytes += bytes(-len(self._bytes) % 4)
        return len(self.accessors) - 1

    def add_vertices(self, array: np.ndarray, bounds: bool = False) -> int:
        """Append what each vertex of a mesh has."""
        return self.add(array, bounds, _VERTICES)

    def add_faces(self, faces: np.ndarray) -> int:
        """Append the triangles ``[F, 3]`` of a mesh."""
        return self.add(faces.ravel().astype(np.uint32), target=_FACES)

    def write(self, document: dict[str, Any], path: Path) -> None:
        """Write a document with these arrays as a ``.glb`` file."""
        lists = {"accessors": self.accessors, "bufferViews": self.views}
        buffers = [{"byteLength": len(self._bytes)}]
        asset = {"version": "2.0", "generator": "bilayer_graph"}
        text = json.dumps({"asset": asset, **document, **lists, "buffers": buffers}).encode()
        text += b" " * (-len(text) % 4)
        chunks = _chunk(_JSON, text) + _chunk(_BINARY, bytes(self._bytes))
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def _chunk(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", len(data), kind) + data
