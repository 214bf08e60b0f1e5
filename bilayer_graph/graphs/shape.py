"""What a graph can be read from: meshes, points and graphs of several libraries."""

from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from bilayer_graph.errors import InputError
from bilayer_graph.graphs.check import check_edges, check_faces, check_points


class Mesh(Protocol):
    """An object with ``vertices`` ``[N, 3]`` and ``faces`` ``[F, 3]``: ``trimesh.Trimesh``."""

    @property
    def vertices(self) -> Any:
        """Coordinates of the vertices."""

    @property
    def faces(self) -> Any:
        """Triangles, as indices of vertices."""


Array: TypeAlias = Tensor | np.ndarray
"""A tensor, or an array that becomes one of the default dtype."""

Shape: TypeAlias = Array | tuple[Array, Array] | Mesh | Data
"""Points ``[N, D]``, ``(vertices, faces)``, an object that has both, or a PyG ``Data``."""


class Parts(NamedTuple):
    """The checked tensors of a shape: its points, and its faces or edges if it has any."""

    pos: Tensor
    faces: Tensor | None = None
    edge_index: Tensor | None = None
    edge_weight: Tensor | None = None


def read_shape(name: str, shape: Shape, dim: int | None = None) -> Parts:
    """Read and check points, a mesh or a graph.

    Args:
        name: What an error calls the shape.
        shape: Points ``[N, D]``; ``(vertices, faces)``; an object that has both, such as a
            ``trimesh.Trimesh`` or a :class:`~bilayer_graph.graphs.MeshLevel`; or a PyG ``Data``
            with ``pos`` and, if it has them, ``edge_index`` or ``face`` of shape ``[3, F]``.
        dim: Number of coordinates of a point; ``None`` for any.

    Raises:
        InputError: If it is none of these, or not the points, faces or edges of one object.
    """
    if isinstance(shape, Data):
        return _read_data(name, shape, dim)
    if isinstance(shape, tuple) and len(shape) == 2:
        vertices, faces = shape
    else:
        vertices, faces = getattr(shape, "vertices", shape), getattr(shape, "faces", None)
    pos = _tensor(name, vertices)
    check_points(name, pos, dim)
    if faces is None:
        return Parts(pos)
    return Parts(pos, faces=read_faces(f"{name}.faces", faces, pos.size(0)))


def read_points(name: str, points: Shape, dim: int | None = 3) -> Tensor:
    """Read and check the coordinates ``[N, dim]`` of points, of a mesh or of a graph."""
    return read_shape(name, points, dim).pos


def read_mesh(name: str, mesh: Shape, faces: Array | None = None) -> tuple[Tensor, Tensor]:
    """Read and check the vertices ``[N, 3]`` and faces ``[F, 3]`` of a mesh.

    Args:
        name: What an error calls the mesh.
        mesh: The mesh, or its vertices.
        faces: The faces; ``None`` if the mesh carries them.

    Raises:
        InputError: If there are no faces, or they are not those of the mesh.
    """
    parts = read_shape(name, mesh, 3)
    if faces is not None:
        return parts.pos, read_faces("faces", faces, parts.pos.size(0))
    if parts.faces is None:
        problem = "points without faces are no mesh"
        raise InputError("faces", None, problem, "Give faces of shape [F, 3], or a mesh")
    return parts.pos, parts.faces


def exact_points(shape: Shape) -> np.ndarray:
    """Return the coordinates of a shape in float64, before arrays round to the default dtype."""
    if isinstance(shape, tuple):
        shape = shape[0]
    points = shape.pos if isinstance(shape, Data) else getattr(shape, "vertices", shape)
    if isinstance(points, Tensor):
        return points.detach().cpu().double().numpy()
    return np.asarray(points, np.float64)


def read_faces(name: str, faces: Array, num_vertices: int) -> Tensor:
    """Read and check the triangles ``[F, 3]`` of a mesh."""
    if isinstance(faces, np.ndarray):
        if faces.dtype.kind not in "iu":
            raise InputError(name, faces.dtype, "not indices", "Give an integer dtype")
        # Torch computes little in unsigned integers, and nothing in another byte order.
        faces = torch.tensor(np.asarray(faces, np.int64))
    check_faces(faces, num_vertices, name)
    return faces.long()


def _read_data(name: str, data: Data, dim: int | None) -> Parts:
    if isinstance(data, Batch):
        remedy = "Give one graph, and batch what is built from it"
        raise InputError(name, f"a batch of {data.num_graphs}", "not one graph", remedy)
    pos = _tensor(f"{name}.pos", data.pos)
    check_points(f"{name}.pos", pos, dim)
    faces = None
    if data.face is not None:
        if data.face.dim() != 2 or data.face.size(0) != 3:
            remedy = "Give indices of shape [3, F], as PyG has them"
            raise InputError(f"{name}.face", list(data.face.shape), "not triangles", remedy)
        faces = read_faces(f"{name}.face", data.face.t(), pos.size(0))
    if data.edge_index is None and "adj_t" in data:
        problem = "edges are read from edge_index"
        remedy = "Give the Data from before T.ToSparseTensor()"
        raise InputError(f"{name}.adj_t", type(data.adj_t).__name__, problem, remedy)
    if data.edge_index is not None:
        check_edges(f"{name}.edge_index", data.edge_index, data.edge_weight, pos.size(0))
    return Parts(pos, faces, data.edge_index, data.edge_weight)


def _check_range(name: str, points: np.ndarray, tensor: Tensor) -> None:
    """Raise :class:`InputError` unless a dtype holds the coordinates of an array."""
    over = np.isfinite(points).all() and bool(tensor.isinf().any())
    if over or (points.any() and not tensor.any()):
        problem = f"out of the range of {tensor.dtype}"
        raise InputError(name, f"up to {np.abs(points).max():g}", problem, "Give another unit")


def _tensor(name: str, points: object) -> Tensor:
    if isinstance(points, Tensor):
        return points
    if isinstance(points, np.ndarray) and points.dtype.kind in "fiu":
        dtype = torch.get_default_dtype() if points.dtype.kind == "f" else None
        # In this machine's byte order, the only one that torch has.
        native = np.asarray(points, points.dtype.newbyteorder("="))
        tensor = torch.tensor(native, dtype=dtype)
        if dtype is not None:
            _check_range(name, points, tensor)
        return tensor
    remedy = "Give coordinates [N, D], (vertices, faces), a trimesh.Trimesh or a Data with pos"
    raise InputError(name, type(points).__name__, "neither points nor a mesh", remedy)
