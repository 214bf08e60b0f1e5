import pytest
import torch
from scipy.spatial.distance import cdist

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import fusion_graph, neighbors
from bilayer_graph.testing import assert_close, sample_features, to_dense

JOINTS, VERTICES = sample_features(5, 3, seed=1), sample_features(11, 3, seed=2)


def inverse_distances():
    joints, vertices = JOINTS.double(), VERTICES.double()
    return 1 / (vertices.unsqueeze(1) - joints.unsqueeze(0)).square().sum(-1).sqrt()


def test_complete():
    edge_index, weight = fusion_graph(JOINTS, VERTICES)
    assert edge_index.shape == (2, 55)
    assert_close(to_dense(edge_index, weight, (5, 11)), inverse_distances(), torch.float32)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_nearest(k):
    edge_index, weight = fusion_graph(JOINTS, VERTICES, k)
    assert edge_index.shape == (2, 11 * k)
    full = inverse_distances()
    bound = full.sort(dim=1, descending=True).values[:, k - 1 : k]
    expected = torch.where(full >= bound, full, 0)
    assert_close(to_dense(edge_index, weight, (5, 11)), expected, torch.float32)


@pytest.mark.parametrize("radius", [2.5, 3.0, 9.0])
def test_radius(radius):
    edge_index, weight = fusion_graph(JOINTS, VERTICES, radius=radius)
    full = torch.tensor(1 / cdist(VERTICES.double(), JOINTS.double()))
    expected = torch.where(full >= 1 / radius, full, 0)
    assert_close(to_dense(edge_index, weight, (5, 11)), expected, torch.float32)
    assert edge_index.size(1) == int((expected > 0).sum())
    assert ((edge_index[1] * 5 + edge_index[0]).diff() > 0).all()


@pytest.mark.parametrize("reach", [{}, {"k": 2}, {"radius": 9.0}], ids=str)
@pytest.mark.parametrize("dim", [1, 2, 6])
def test_any_number_of_coordinates(reach, dim, device):
    coarse, fine = sample_features(5, dim, seed=1), sample_features(11, dim, seed=2)
    edge_index, weight = fusion_graph(coarse.to(device), fine.to(device), **reach)
    expected = torch.tensor(1 / cdist(fine.double(), coarse.double()))
    if "k" in reach:
        expected = expected.where(expected >= expected.sort(dim=1).values[:, [-2]], 0)
    assert_close(to_dense(edge_index, weight, (5, 11)), expected, torch.float32)


def test_every_point_links_with_itself_first():
    edge_index, weight = fusion_graph(VERTICES, VERTICES, k=1)
    assert torch.equal(edge_index, torch.arange(11).expand(2, -1))
    assert_close(weight, torch.full((11,), 100.0))


def test_edges_are_sorted_by_vertex_and_joint():
    edge_index, _ = fusion_graph(JOINTS, VERTICES, 3)
    assert ((edge_index[1] * 5 + edge_index[0]).diff() > 0).all()


def test_a_joint_on_a_vertex_counts_as_a_centimetre_apart():
    point = torch.tensor([[0.3, 0.2, 0.1]])
    assert_close(fusion_graph(point, point)[1], torch.tensor([100.0]))
    assert_close(fusion_graph(point, point, min_distance=0.25)[1], torch.tensor([4.0]))


def test_nearby_points_far_from_the_origin():
    joint, vertex = torch.tensor([[100.1, -70.3, 0.2]]), torch.tensor([[100.13, -70.29, 0.2]])
    expected = 1 / (joint.double() - vertex.double()).norm()
    assert_close(fusion_graph(joint, vertex)[1], expected.view(1))


@pytest.mark.parametrize("k", [0, -1, 6])
def test_k_out_of_range(k):
    with pytest.raises(InputError, match=rf"^k={k}: there are 5 joints.*from 1 to 5, or None"):
        fusion_graph(JOINTS, VERTICES, k)


@pytest.mark.parametrize("name", ["joints", "vertices"])
def test_bad_points(name):
    points = {"joints": JOINTS, "vertices": VERTICES}
    with pytest.raises(InputError, match=rf"^{name}=\[4\]: .*Give coordinates of shape"):
        fusion_graph(**{**points, name: torch.zeros(4)})
    with pytest.raises(InputError, match=rf"^{name}=.* in row 2: not finite.*Remove or repair"):
        fusion_graph(**{**points, name: torch.tensor([[0.0] * 3, [1.0] * 3, [torch.nan] * 3])})


def test_a_radius_that_leaves_vertices_alone():
    gaps = cdist(VERTICES.double(), JOINTS.double()).min(axis=1)
    alone = int((gaps > 0.8).sum())
    assert 0 < alone < 11
    message = (
        rf"^radius=0\.8: {alone} of 11 vertices have none of the joints .*above {gaps.max():.4g}"
    )
    with pytest.raises(InputError, match=message):
        fusion_graph(JOINTS, VERTICES, radius=0.8)
    fusion_graph(JOINTS, VERTICES, radius=gaps.max() * 1.001)


@pytest.mark.parametrize("radius", [0.0, -2.0, torch.nan])
def test_a_radius_that_is_none(radius):
    with pytest.raises(InputError, match=rf"^radius={radius}: not a distance.*positive number"):
        fusion_graph(JOINTS, VERTICES, radius=radius)


def test_k_and_radius():
    with pytest.raises(InputError, match=r"^radius=2\.0: k=3 is given too"):
        fusion_graph(JOINTS, VERTICES, 3, 2.0)


def test_a_lower_bound_that_is_none():
    with pytest.raises(InputError, match=r"^min_distance=0: not a distance"):
        fusion_graph(JOINTS, VERTICES, min_distance=0)


def test_points_of_two_spaces():
    with pytest.raises(InputError, match=r"^vertices=\[11, 2\]: the joints have 3 .*one space"):
        fusion_graph(JOINTS, VERTICES[:, :2])


def test_too_many_pairs():
    with pytest.raises(InputError, match=r"^k=None: .* 90000000 edges\. Give k or radius"):
        fusion_graph(torch.zeros(9000, 3), torch.zeros(10_000, 3))


@pytest.mark.parametrize("reach", [{"k": 3}, {"radius": 9.0}], ids=str)
def test_too_many_edges(reach, monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_PAIRS", 32)
    with pytest.raises(InputError, match=rf"^{next(iter(reach))}=.*takes .* edges\. Give"):
        fusion_graph(JOINTS, VERTICES, **reach)
    assert fusion_graph(JOINTS, VERTICES, 2)[0].size(1) == 22
