"""Graphs of many objects at once: points of different objects are not linked."""

import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import fusion_graph, point_graph
from bilayer_graph.testing import assert_close, sample_features, to_dense

COARSE, FINE = (3, 1, 4), (9, 2, 12)
OPTIONS = pytest.mark.parametrize("options", [{}, {"k": 3}, {"radius": 3.0}], ids=repr)


def parts(sizes):
    return [sample_features(n, 2, seed=seed + 10 * len(sizes)) for seed, n in enumerate(sizes)]


def batch_of(sizes, dtype=torch.long):
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).to(dtype)


def clamped(options, number):
    return {**options, "k": min(options["k"], number)} if "k" in options else options


@OPTIONS
def test_points_of_a_batch_are_their_graphs_one_by_one(options):
    edges, weight = point_graph(torch.cat(parts(FINE)), batch=batch_of(FINE), **options)
    got = to_dense(edges, weight, (sum(FINE),) * 2)
    single = [point_graph(part, **clamped(options, len(part) - 1)) for part in parts(FINE)]
    want = torch.block_diag(
        *(to_dense(*graph, (n, n)) for graph, n in zip(single, FINE, strict=True))
    )
    assert_close(got, want)


@OPTIONS
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_fusion_graphs_of_a_batch_are_its_graphs_one_by_one(options, dtype):
    coarse, fine = parts(COARSE), parts(FINE)
    batches = {"batch_joints": batch_of(COARSE, dtype), "batch_vertices": batch_of(FINE, dtype)}
    edges, weight = fusion_graph(torch.cat(coarse), torch.cat(fine), **options, **batches)
    blocks = [
        to_dense(
            *fusion_graph(*pair, **clamped(options, len(pair[0]))), (len(pair[0]), len(pair[1]))
        )
        for pair in zip(coarse, fine, strict=True)
    ]
    assert_close(to_dense(edges, weight, (sum(COARSE), sum(FINE))), torch.block_diag(*blocks))
    assert torch.equal(edges.as_tensor(), edges.as_tensor()[:, edges[1].argsort(stable=True)])


def test_a_batch_in_any_order():
    points, batch = torch.cat(parts(FINE)), batch_of(FINE)
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    sorted_graph = to_dense(*point_graph(points, 2, batch=batch), (len(points),) * 2)
    mixed = point_graph(points[order], 2, batch=batch[order])
    assert mixed[0].validate().sort_order == "col"
    expected = sorted_graph[order][:, order]
    assert_close(to_dense(*mixed, (len(points),) * 2), expected, torch.float32)


def fuse(joints, vertices):
    return fusion_graph(torch.rand(3, 2), torch.rand(4, 2), 1, None, joints, vertices)


def link(batch, k=1):
    return point_graph(torch.rand(2, 2), k, batch=batch)


ZEROS = torch.zeros(4, dtype=torch.long)
BAD = {
    "points": (lambda: link(ZEROS), r"^batch=\[4\]: there are 2 nodes"),
    "a list": (lambda: link([0, 0]), r"^batch=list: .*shape \[N\]"),
    "floats": (lambda: link(torch.zeros(2)), r"^batch=torch.float32: not indices"),
    "negative": (lambda: link(torch.tensor([0, -1])), r"^batch=-1: not a graph"),
    "k": (lambda: link(ZEROS[:2], k=0), r"^k=0"),
    "one of two": (lambda: fuse(ZEROS[:3], None), r"^batch_vertices=None: batch_joints is given"),
    "no joints": (
        lambda: fuse(ZEROS[:3], torch.tensor([0, 0, 2, 2])),
        r"^batch_vertices=2: graph 2 has no points in batch_joints",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_batches(name):
    call, message = BAD[name]
    with pytest.raises(InputError, match=message):
        call()
