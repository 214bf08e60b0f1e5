import numpy as np
import pytest
import torch
import trimesh
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import cdist

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import distance, mesh_graph, neighbors, point_graph, skeleton_graph
from bilayer_graph.testing import assert_close, sample_features, sphere_mesh, to_dense


def links(points, k=None, radius=None):
    """Which pairs are linked, by comparing every distance; targets as rows, without loops."""
    distance = cdist(points, points)
    np.fill_diagonal(distance, np.inf)
    bound = np.sort(distance, axis=1)[:, [k - 1]] if k else np.inf if radius is None else radius
    return np.isfinite(distance) & (distance <= bound)


def dense_graph(points, k=None, radius=None):
    """The adjacency from its definition, one row at a time, in float64."""
    linked, distance = links(points, k, radius), cdist(points, points)
    dense = np.eye(len(points))
    for row in np.flatnonzero(linked.any(axis=1)):
        dense[row, linked[row]] = 1 / np.maximum(distance[row, linked[row]], 0.01)
        dense[row, row] = dense[row, linked[row]].max()
        dense[row] /= dense[row].sum()
    return torch.tensor(dense)


REACHES = [{}, {"k": 1}, {"k": 4}, {"k": 29}, {"radius": 0.9}, {"radius": 0.2}, {"radius": 9.0}]


@pytest.mark.parametrize("reach", REACHES, ids=str)
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_equals_the_definition(reach, dim, device):
    points = sample_features(30, dim, seed=dim)
    edge_index, weight = point_graph(points.to(device), **reach)
    assert edge_index.device == weight.device == torch.zeros(0, device=device).device
    expected = dense_graph(points.double().numpy(), **reach)
    assert_close(to_dense(edge_index, weight, (30, 30)), expected, torch.float32)
    assert edge_index.size(1) == int((expected > 0).sum())


@pytest.mark.parametrize("reach", REACHES, ids=str)
def test_edges_are_sorted_and_rows_sum_to_one(reach):
    edge_index, weight = point_graph(sample_features(30, 3), **reach)
    assert ((edge_index[1] * 30 + edge_index[0]).diff() > 0).all()
    assert_close(torch.zeros(30).index_add(0, edge_index[1], weight), torch.ones(30))


def test_degrees_on_a_grid():
    axes = torch.meshgrid(torch.arange(7.0), torch.arange(5.0), indexing="ij")
    edge_index, weight = point_graph(torch.stack(axes, dim=-1).view(-1, 2), radius=1.0)
    degree = edge_index[1].bincount().view(7, 5) - 1
    expected = torch.full((7, 5), 4)
    for side in (expected[0], expected[-1], expected[:, 0], expected[:, -1]):
        side -= 1
    assert torch.equal(degree, expected)
    # All distances are 1, so all weights of a row are equal.
    assert_close(weight, 1 / (degree.flatten() + 1)[edge_index[1]].double(), torch.float32)


def test_radius_on_a_sphere_gives_the_edges_of_its_mesh():
    vertices, faces = sphere_mesh(2)
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    longest = float(mesh.edges_unique_length.max())
    edge_index, _ = point_graph(vertices, radius=longest + 1e-6)
    assert torch.equal(edge_index, mesh_graph(faces, 162)[0])


def test_order_of_points_does_not_matter():
    points = sample_features(20, 3)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    dense = to_dense(*point_graph(points, k=3), (20, 20))
    permuted = to_dense(*point_graph(points[order], k=3), (20, 20))
    assert_close(permuted, dense[order][:, order], torch.float32)


def test_two_clusters_stay_apart():
    points = torch.cat([sample_features(10, 3), sample_features(10, 3, seed=1) + 100])
    dense = to_dense(*point_graph(points, radius=8.0), (20, 20))
    hops = shortest_path((dense > 0).numpy())
    assert np.isinf(hops[:10, 10:]).all()
    assert np.isfinite(hops[:10, :10]).all()


def test_all_points_are_linked_like_a_skeleton():
    joints = sample_features(12, 3)
    for first, second in zip(point_graph(joints), skeleton_graph(joints), strict=True):
        assert torch.equal(first, second)


def test_points_at_one_place_keep_their_loops():
    edge_index, weight = point_graph(torch.zeros(6, 3), k=2)
    assert edge_index.shape == (2, 18)
    dense = to_dense(edge_index, weight, (6, 6))
    assert_close(dense.diagonal(), torch.full((6,), 1 / 3), torch.float32)
    assert_close(dense.sum(1), torch.ones(6), torch.float32)


def test_lower_bound_of_a_distance():
    points = torch.tensor([[0.0], [0.1], [1.0]])
    dense = to_dense(*point_graph(points, min_distance=0.5), (3, 3))
    assert_close(dense[0], torch.tensor([2, 2, 1]) / 5, torch.float32)


def test_a_single_point():
    edge_index, weight = point_graph(torch.zeros(1, 3))
    assert edge_index.tolist() == [[0], [0]]
    assert weight.tolist() == [1]


def test_keeps_the_dtype():
    assert point_graph(torch.rand(5, 3).double(), k=2)[1].dtype == torch.float64


@pytest.mark.parametrize("k", [0, -1, 30, 2.5])
def test_k_out_of_range(k):
    with pytest.raises(InputError, match=rf"^k={k}: there are 29 other points\. .*from 1 to 29"):
        point_graph(sample_features(30, 3), k)


def test_k_of_a_single_point():
    with pytest.raises(InputError, match=r"^k=1: there are 0 other points\. Give None"):
        point_graph(torch.zeros(1, 3), k=1)


@pytest.mark.parametrize("name", ["radius", "min_distance"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_a_distance_that_is_none(name, value):
    with pytest.raises(InputError, match=rf"^{name}={value}: not a distance.*a positive number"):
        point_graph(sample_features(30, 3), **{name: value})


def test_k_and_radius():
    with pytest.raises(InputError, match=r"^radius=0\.5: k=3 is given too\. Give one of the two"):
        point_graph(sample_features(30, 3), k=3, radius=0.5)


def test_too_many_pairs():
    with pytest.raises(InputError, match=r"^k=None: .* 99990000 edges\. Give k or radius"):
        point_graph(torch.zeros(10_000, 3))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(0, 3), r"^points=\[0, 3\]: not a list of points.*shape \[N, D\]"),
        (torch.zeros(4, 0), r"^points=\[4, 0\]: not a list of points"),
        (torch.zeros(2, 4, 3), r"^points=\[2, 4, 3\]: not a list of points"),
        (torch.zeros(4, 3).long(), r"^points=torch\.int64: not coordinates.*Give float32"),
        (torch.tensor([[0.0], [torch.nan]]), r"^points=\[nan\] in row 1: not finite"),
        ("cube.obj", r"^points=str: neither points nor a mesh\. Give coordinates"),
    ],
    ids=["none", "no coordinates", "batched", "integers", "NaN", "a path"],
)
def test_bad_points(points, message):
    with pytest.raises(InputError, match=message):
        point_graph(points)


@pytest.mark.parametrize("reach", [{"k": 20}, {"radius": 1000.0}, {"radius": 1.7}], ids=str)
def test_too_many_edges(reach, monkeypatch):
    points = sample_features(30, 3)
    edges = point_graph(points, **reach)[0].size(1)
    monkeypatch.setattr(neighbors, "MAX_PAIRS", edges // 3)
    with pytest.raises(InputError, match=rf"^{next(iter(reach))}=.*takes .* edges\. Give"):
        point_graph(points, **reach)


def test_edges_made_in_parts(monkeypatch):
    points = sample_features(30, 3)
    whole = [point_graph(points, **reach) for reach in REACHES]
    monkeypatch.setattr(neighbors, "_CHUNK", 7)
    monkeypatch.setattr(distance, "_CHUNK", 20)
    for reach, (edge_index, weight) in zip(REACHES, whole, strict=True):
        parts = point_graph(points, **reach)
        assert torch.equal(parts[0], edge_index)
        assert torch.equal(parts[1], weight)


def test_a_radius_in_a_wrong_unit_is_found_out_at_once():
    # All pairs would take 10 GB and more.
    with pytest.raises(InputError, match=r"^radius=1000\.0: .* about 4e\+08 edges.*or k"):
        point_graph(torch.rand(20_000, 3), radius=1000.0)
