import warnings

import numpy as np
import pytest
import torch
import trimesh
from torch_geometric.data import Data
from torch_geometric.transforms import FaceToEdge
from torch_geometric.utils import add_self_loops, sort_edge_index

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import bilayer_graph, mesh_graph, multilevel_graph
from bilayer_graph.testing import assert_close, sphere_mesh, to_dense


def test_a_triangle():
    edge_index, weight = mesh_graph(torch.tensor([[0, 1, 2]]), 3)
    assert_close(to_dense(edge_index, weight, (3, 3)), torch.full((3, 3), 1 / 3), torch.float32)


def test_two_triangles_and_a_lonely_vertex():
    edge_index, weight = mesh_graph(torch.tensor([[0, 1, 2], [1, 3, 2]]), 5)
    expected = torch.tensor(
        [
            [1 / 3, 1 / 3, 1 / 3, 0, 0],
            [1 / 4, 1 / 4, 1 / 4, 1 / 4, 0],
            [1 / 4, 1 / 4, 1 / 4, 1 / 4, 0],
            [0, 1 / 3, 1 / 3, 1 / 3, 0],
            [0, 0, 0, 0, 1],
        ]
    )
    assert_close(to_dense(edge_index, weight, (5, 5)), expected, torch.float32)


def test_neighbours_are_those_of_trimesh():
    vertices, faces = sphere_mesh(2)
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    edge_index, weight = mesh_graph(faces, 162)
    dense = to_dense(edge_index, weight, (162, 162))
    for vertex, neighbours in enumerate(mesh.vertex_neighbors):
        row = torch.zeros(162)
        row[[vertex, *neighbours]] = 1 / (len(neighbours) + 1)
        assert_close(dense[vertex], row, torch.float32)


def test_edges_are_those_of_pyg():
    vertices, faces = sphere_mesh(2)
    data = FaceToEdge()(Data(pos=vertices, face=faces.t()))
    edges = add_self_loops(data.edge_index, num_nodes=162)[0]
    assert torch.equal(mesh_graph(faces, 162)[0], sort_edge_index(edges, sort_by_row=False))


def test_faces_of_any_integer_type():
    faces = sphere_mesh(1)[1]
    expected = mesh_graph(faces, 42)
    for given in (faces.int(), faces.numpy().astype("uint32"), faces.numpy()):
        for first, second in zip(mesh_graph(given, 42), expected, strict=True):
            assert torch.equal(first, second)


def test_faces_without_the_number_of_vertices():
    with pytest.raises(InputError, match=r"^num_vertices=None: .*Give their number, or a mesh"):
        mesh_graph(sphere_mesh(1)[1])


def test_rows_sum_to_one_and_edges_are_sorted():
    edge_index, weight = mesh_graph(sphere_mesh(3)[1], 642)
    # A closed mesh has 3 N - 6 edges, each in both directions, and here N loops.
    assert edge_index.shape == (2, 2 * (3 * 642 - 6) + 642)
    assert_close(torch.zeros(642).index_add(0, edge_index[1], weight), torch.ones(642))
    assert (edge_index[1].diff() >= 0).all()


def test_order_of_faces_and_corners_does_not_matter():
    faces = sphere_mesh(1)[1]
    shuffled = faces.flip(0).roll(1, dims=1)
    for first, second in zip(mesh_graph(faces, 42), mesh_graph(shuffled, 42), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        (torch.zeros(4, 4, dtype=torch.long), r"^faces=\[4, 4\]: .*Give indices of shape \[F, 3\]"),
        (torch.zeros(0, 3, dtype=torch.long), r"^faces=\[0, 3\]: .*Give indices of shape"),
        (torch.tensor([[0, 1, 3]]), r"^faces=indices 0\.\.3: .* 3 vertices .*counted from 0"),
        (torch.tensor([[-1, 1, 2]]), r"^faces=indices -1\.\.2: .*counted from 0"),
        (torch.tensor([[0.0, 1, 2]]), r"^faces=torch\.float32: not indices\. Give int64"),
    ],
    ids=["quads", "none", "too large", "negative", "floating point"],
)
def test_faces_of_another_mesh(faces, message):
    with pytest.raises(InputError, match=message):
        mesh_graph(faces, 3)


def seamed_sphere():
    """A sphere whose faces share no vertex, as files with a texture have it along seams."""
    sphere = trimesh.creation.icosphere(1)
    faces = np.arange(sphere.faces.size).reshape(-1, 3)
    return trimesh.Trimesh(sphere.vertices[sphere.faces.ravel()], faces, process=False)


@pytest.mark.parametrize(
    "build",
    [
        mesh_graph,
        lambda mesh: bilayer_graph(np.eye(3), mesh),
        lambda mesh: multilevel_graph({"fine": mesh, "coarse": np.eye(3)}),
    ],
    ids=["mesh", "bilayer", "multilevel"],
)
def test_seams_are_told_of(build):
    loose = seamed_sphere()
    with pytest.warns(UserWarning, match=r"198 of 240 vertices lie on others.*merge them"):
        build(loose)
    loose.merge_vertices()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*lie on others.*")
        build(loose)
