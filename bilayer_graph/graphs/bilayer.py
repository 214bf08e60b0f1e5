"""The three graphs of one object in one PyG ``HeteroData``."""

from torch import Tensor
from torch_geometric.data import HeteroData

from bilayer_graph.graphs.fusion import fusion_graph
from bilayer_graph.graphs.mesh import mesh_graph
from bilayer_graph.graphs.skeleton import skeleton_graph

BONE = ("joint", "bone", "joint")
EDGE = ("vertex", "edge", "vertex")
DRIVES = ("joint", "drives", "vertex")
INFORMS = ("vertex", "informs", "joint")


def bilayer_graph(
    joints: Tensor, vertices: Tensor, faces: Tensor, k: int | None = None
) -> HeteroData:
    """Couple a skeleton and a mesh of one object.

    Args:
        joints: Template joints in metres, shape ``[N_s, 3]``.
        vertices: Template vertices in metres, shape ``[N_m, 3]``.
        faces: Triangles of the mesh, shape ``[F, 3]``.
        k: Number of joints that each vertex is linked with; ``None`` for all.

    Returns:
        Node types ``joint`` and ``vertex`` with ``pos``; edge types ``(joint, bone, joint)``,
        ``(vertex, edge, vertex)``, ``(joint, drives, vertex)`` and ``(vertex, informs, joint)``
        with ``edge_index`` and ``edge_weight``. ``informs`` is ``drives`` reversed, edge by edge.

    Raises:
        InputError: If the points or the faces are not those of one object.
    """
    data = HeteroData()
    data["joint"].pos, data["vertex"].pos = joints, vertices
    data[BONE].edge_index, data[BONE].edge_weight = skeleton_graph(joints)
    data[EDGE].edge_index, data[EDGE].edge_weight = mesh_graph(faces, vertices.size(0))
    drives, weight = fusion_graph(joints, vertices, k)
    data[DRIVES].edge_index, data[DRIVES].edge_weight = drives, weight
    data[INFORMS].edge_index, data[INFORMS].edge_weight = drives.flip(0), weight
    return data
