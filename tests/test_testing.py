import pytest
import torch

from bilayer_graph.testing import (
    assert_close,
    largest_output,
    random_graph,
    sample_bipartite,
    sphere_mesh,
    to_dense,
)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_a_dtype_without_tolerance_is_an_error(dtype):
    with pytest.raises(KeyError):
        assert_close(torch.zeros(2, dtype=dtype), torch.zeros(2))


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (torch.ones(3), torch.ones(1)),
        (torch.tensor([1.0, float("nan")]), torch.ones(2)),
        (torch.ones(2), torch.tensor([1.0, float("nan")])),
        (torch.tensor([100.0, 0.01]), torch.tensor([100.0, 0.02])),
        (torch.tensor([1e-30]), torch.tensor([0.0])),
    ],
    ids=["shape", "NaN", "expected NaN", "value", "not zero"],
)
def test_what_is_not_close(actual, expected):
    with pytest.raises(AssertionError):
        assert_close(actual, expected)


def test_what_is_close():
    assert_close(torch.tensor([100.0, 0.01]), torch.tensor([100.0, 0.0105]))
    assert_close(torch.tensor([1.01]), torch.tensor([1.0]), torch.bfloat16)
    assert_close(torch.zeros(0, 3), torch.zeros(0, 3))


def test_samples_repeat():
    for first, second in zip(random_graph((5, 4), 7), random_graph((5, 4), 7), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(random_graph((5, 4), 7)[0], random_graph((5, 4), 7, seed=1)[0])


def test_random_edges_are_distinct_and_inside():
    edge_index, weight = random_graph((5, 4), 18)
    dense = to_dense(edge_index, None, (5, 4))
    assert dense.shape == (4, 5)
    assert dense.sum() == 18
    assert dense.max() == 1
    assert weight.shape == (18,)


def test_a_complete_bipartite_sample():
    edge_index, prior = sample_bipartite((5, 4))
    assert torch.equal(to_dense(edge_index, None, (5, 4)), torch.ones(4, 5).double())
    assert (prior > 0).all()


def test_a_sphere():
    vertices, faces = sphere_mesh(2, radius=2.0)
    assert vertices.shape == (162, 3)
    assert faces.shape == (320, 3)
    assert_close(vertices.norm(dim=1), torch.full((162,), 2.0))


def test_largest_output():
    with largest_output() as largest:
        torch.zeros(3, 5).expand(7, 3, 5)
        torch.ones(4) + 1
    assert largest.numel == 15
