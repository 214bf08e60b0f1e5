import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import skeleton_graph
from bilayer_graph.testing import assert_close, sample_features, to_dense


def test_three_joints_on_a_line():
    edge_index, weight = skeleton_graph(torch.tensor([[0.0, 0, 0], [1, 0, 0], [3, 0, 0]]))
    # Distances 1, 2 and 3; the self loop is as strong as the nearest neighbour.
    raw = torch.tensor([[1, 1, 1 / 3], [1, 1, 1 / 2], [1 / 3, 1 / 2, 1 / 2]])
    dense = to_dense(edge_index, weight, (3, 3))
    assert_close(dense, raw / raw.sum(1, keepdim=True), torch.float32)


def test_equals_the_loop():
    joints = sample_features(12, 3)
    raw = torch.zeros(12, 12).double()
    for i in range(12):
        others = [j for j in range(12) if j != i]
        for j in others:
            raw[i, j] = 1 / (joints[i].double() - joints[j].double()).norm()
        raw[i, i] = raw[i, others].max()
    dense = to_dense(*skeleton_graph(joints), (12, 12))
    assert_close(dense, raw / raw.sum(1, keepdim=True), torch.float32)


def test_rows_sum_to_one():
    edge_index, weight = skeleton_graph(sample_features(12, 3))
    assert_close(torch.zeros(12).index_add(0, edge_index[1], weight), torch.ones(12))


def test_joints_at_one_place_count_as_a_centimetre_apart():
    joints = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0]])
    dense = to_dense(*skeleton_graph(joints), (3, 3))
    assert_close(dense[0], torch.tensor([100, 100, 1]) / 201, torch.float32)
    dense = to_dense(*skeleton_graph(joints, min_distance=0.5), (3, 3))
    assert_close(dense[0], torch.tensor([2, 2, 1]) / 5, torch.float32)


def test_keeps_the_dtype():
    assert skeleton_graph(torch.rand(3, 3).double())[1].dtype == torch.float64


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (torch.zeros(12, 2), r"^joints=\[12, 2\]: .*Give coordinates of shape \[N, 3\]"),
        (torch.zeros(0, 3), r"^joints=\[0, 3\]: .*Give coordinates"),
        (torch.zeros(1, 3), r"^joints=\[1, 3\]: one joint has no bones.*Give two or more"),
        (torch.tensor([[0.0, 0, 0], [0, torch.nan, 0]]), r"^joints=\[0.0, nan, 0.0\] in row 1: .*"),
        (torch.tensor([[torch.inf, 0, 0], [0, 0, 0]]), r"^joints=.*in row 0: .*Remove or repair"),
    ],
    ids=["2D", "none", "one", "NaN", "infinite"],
)
def test_bad_joints(joints, message):
    with pytest.raises(InputError, match=message):
        skeleton_graph(joints)
