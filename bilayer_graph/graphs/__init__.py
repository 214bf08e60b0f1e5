"""Topology: faces and coordinates in, PyG graphs out."""

from bilayer_graph.graphs.bilayer import BONE, DRIVES, EDGE, INFORMS, bilayer_graph
from bilayer_graph.graphs.fusion import fusion_graph
from bilayer_graph.graphs.levels import MeshLevel, mesh_level, mesh_levels
from bilayer_graph.graphs.mesh import mesh_graph
from bilayer_graph.graphs.multilevel import multilevel_graph
from bilayer_graph.graphs.points import point_graph
from bilayer_graph.graphs.skeleton import skeleton_graph

__all__ = [
    "BONE",
    "DRIVES",
    "EDGE",
    "INFORMS",
    "MeshLevel",
    "bilayer_graph",
    "fusion_graph",
    "mesh_graph",
    "mesh_level",
    "mesh_levels",
    "multilevel_graph",
    "point_graph",
    "skeleton_graph",
]
