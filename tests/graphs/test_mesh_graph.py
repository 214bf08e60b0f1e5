import pytest
import torch
import trimesh

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import mesh_graph
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
    ],
    ids=["quads", "none", "too large", "negative"],
)
def test_faces_of_another_mesh(faces, message):
    with pytest.raises(InputError, match=message):
        mesh_graph(faces, 3)
