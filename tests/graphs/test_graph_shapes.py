"""The same mesh, points and graph from every kind of object that can hold them."""

import pytest
import torch
import trimesh
from torch_geometric.data import Batch, Data
from torch_geometric.utils import from_trimesh

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import (
    MeshLevel,
    bilayer_graph,
    fusion_graph,
    mesh_graph,
    multilevel_graph,
    point_graph,
    skeleton_graph,
)
from bilayer_graph.testing import sample_features, sphere_mesh

JOINTS = sample_features(4, 3)
VERTICES, FACES = sphere_mesh(1)
TRIMESH = trimesh.Trimesh(VERTICES.numpy(), FACES.numpy(), process=False)
MESHES = {
    "tensors": (VERTICES, FACES),
    "arrays": (VERTICES.double().numpy(), FACES.int().numpy()),
    "another byte order": (VERTICES.numpy().astype(">f4"), FACES.numpy().astype(">i4")),
    "trimesh": TRIMESH,
    "Data": Data(pos=VERTICES, face=FACES.t()),
    "Data of PyG": from_trimesh(TRIMESH),
    "level": MeshLevel(VERTICES, FACES, *3 * [torch.zeros(0)]),
}
POINTS = {
    **MESHES,
    "tensor": VERTICES,
    "array": VERTICES.numpy(),
    "points of Data": Data(pos=VERTICES),
    "cloud": trimesh.PointCloud(VERTICES.numpy()),
}


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES.keys())
def test_meshes(mesh):
    assert_same(mesh_graph(mesh), mesh_graph(FACES, 42))
    actual = bilayer_graph(JOINTS, mesh, k=2)
    expected = bilayer_graph(JOINTS, VERTICES, FACES, 2)
    assert torch.equal(actual["vertex"].pos, VERTICES)
    for edge_type in expected.edge_types:
        assert_same(actual[edge_type].values(), expected[edge_type].values())


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS.keys())
def test_points(points):
    assert_same(point_graph(points, k=3), point_graph(VERTICES, k=3))
    assert_same(skeleton_graph(points), skeleton_graph(VERTICES))
    assert_same(fusion_graph(JOINTS, points, 2), fusion_graph(JOINTS, VERTICES, 2))
    assert_same(fusion_graph(points, JOINTS, 2), fusion_graph(VERTICES, JOINTS, 2))


def test_meshes_with_vertices_of_their_own():
    moved = bilayer_graph(JOINTS, TRIMESH, FACES.flip(1))
    assert_same(moved["vertex", "vertex"].values(), mesh_graph(FACES, 42))


def level(**attributes):
    return multilevel_graph([Data(**{"pos": VERTICES, **attributes})])["level0", "level0"]


def test_weighted_edges_stay_as_they_are():
    edge_index = torch.tensor([[3, 0, 3], [1, 41, 3]])
    weight = torch.tensor([0.5, -2.0, 0.25])
    assert_same(level(edge_index=edge_index, edge_weight=weight).values(), (edge_index, weight))


def test_edges_without_weights_are_completed_like_those_of_a_mesh():
    expected = mesh_graph(FACES, 42)
    backwards = expected[0].flip(1)
    without_loops = backwards[:, backwards[0] != backwards[1]]
    assert_same(level(edge_index=without_loops).values(), expected)
    # Edges given twice count once, and edges say more than faces.
    twice = torch.cat([without_loops, without_loops], dim=1)
    assert_same(level(edge_index=twice, face=torch.tensor([[0], [1], [2]])).values(), expected)


def test_directed_edges_stay_directed():
    edges = level(edge_index=torch.tensor([[0, 5], [7, 7]]))
    assert edges.edge_weight[edges.edge_index[1] == 7].tolist() == pytest.approx([1 / 3] * 3)
    assert edges.edge_index.size(1) == 44


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"pos": None}, r"^levels\[0\]\.pos=NoneType: neither points nor a mesh.*Data with pos"),
        ({"pos": VERTICES[0]}, r"^levels\[0\]\.pos=\[3\]: not a list of points"),
        ({"face": FACES}, r"^levels\[0\]\.face=\[80, 3\]: not triangles.*shape \[3, F\]"),
        ({"face": FACES.t() + 1}, r"^levels\[0\]\.face=indices 1\.\.42: a mesh of 42 vertices"),
        ({"edge_index": FACES.t()}, r"^levels\[0\]\.edge_index=\[3, 80\]: not a list.*\[2, E\]"),
        ({"edge_index": VERTICES[:, :2].t()}, r"^levels\[0\]\.edge_index=torch\.float32: not ind"),
        (
            {"edge_index": torch.tensor([[0], [42]])},
            r"^levels\[0\]\.edge_index=target nodes 42\.\.42: the graph has 42 target nodes",
        ),
        (
            {"edge_index": torch.tensor([[0], [1]]), "edge_weight": torch.ones(2)},
            r"^levels\[0\]\.edge_weight=\[2\]: there are 1 edges.*shape \[E\]",
        ),
        (
            {"edge_index": torch.tensor([[0], [1]]), "edge_weight": torch.tensor([torch.nan])},
            r"^levels\[0\]\.edge_weight=nan in row 0: not finite",
        ),
        ({"adj_t": torch.eye(42).to_sparse()}, r"^levels\[0\]\.adj_t=Tensor: edges are read"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_bad_data(attributes, message):
    with pytest.raises(InputError, match=message):
        level(**attributes)


def test_a_batch():
    batch = Batch.from_data_list([Data(pos=VERTICES)] * 3)
    with pytest.raises(InputError, match=r"^joints=a batch of 3: not one graph\. Give one graph"):
        fusion_graph(batch, VERTICES)
