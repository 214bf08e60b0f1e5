"""The three graphs of one object in one PyG ``HeteroData``."""

from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData

from bilayer_graph.graphs.fusion import fusion_graph
from bilayer_graph.graphs.mesh import mesh_graph, warn_of_seams
from bilayer_graph.graphs.shape import Array, Shape, read_mesh, read_points
from bilayer_graph.graphs.skeleton import skeleton_graph

BONE = ("joint", "bone", "joint")
EDGE = ("vertex", "edge", "vertex")
DRIVES = ("joint", "drives", "vertex")
INFORMS = ("vertex", "informs", "joint")


def bilayer_graph(
    joints: Shape, vertices: Shape, faces: Array | None = None, k: int | None = None
) -> HeteroData:
    """Couple a skeleton and a mesh of one object.

    :func:`~bilayer_graph.graphs.multilevel_graph` couples any graphs and any number of them.

    Args:
        joints: Template joints in metres, shape ``[N_s, 3]``.
        vertices: Template vertices in metres, shape ``[N_m, 3]``, or a mesh: ``trimesh.Trimesh``,
            PyG ``Data`` with ``face``, or ``(vertices, faces)``.
        faces: Triangles of the mesh, shape ``[F, 3]``; ``None`` if the mesh carries them.
        k: Number of joints that each vertex is linked with; ``None`` for all.

    Returns:
        Node types ``joint`` and ``vertex`` with ``pos``; edge types ``(joint, bone, joint)``,
        ``(vertex, edge, vertex)``, ``(joint, drives, vertex)`` and ``(vertex, informs, joint)``
        with ``edge_index``, an ``EdgeIndex`` of known size, and ``edge_weight``. ``informs`` is
        ``drives`` reversed, edge by edge.

    Raises:
        InputError: If the points or the faces are not those of one object.
    """
    coarse = read_points("joints", joints)
    fine, triangles = read_mesh("vertices", vertices, faces)
    warn_of_seams("vertices", fine, triangles)
    data = HeteroData()
    data["joint"].pos, data["vertex"].pos = coarse, fine
    data[BONE].edge_index, data[BONE].edge_weight = skeleton_graph(coarse)
    data[EDGE].edge_index, data[EDGE].edge_weight = mesh_graph(triangles, fine.size(0))
    add_fusion(data, "joint", "vertex", fusion_graph(coarse, fine, k))
    return data


def add_fusion(data: HeteroData, coarse: str, fine: str, fusion: tuple[EdgeIndex, Tensor]) -> None:
    """Add a fusion graph between two node types, in both directions."""
    edge_index, edge_weight = fusion
    for edge_type, edges in (
        ((coarse, "drives", fine), edge_index),
        ((fine, "informs", coarse), edge_index.flip(0)),
    ):
        data[edge_type].edge_index, data[edge_type].edge_weight = edges, edge_weight
