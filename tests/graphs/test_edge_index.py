"""Every graph's edges are an EdgeIndex: sizes, order, and what PyG makes of them."""

import io

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from bilayer_graph.graphs import (
    bilayer_graph,
    fusion_graph,
    mesh_graph,
    multilevel_graph,
    point_graph,
    skeleton_graph,
)
from bilayer_graph.testing import sample_features, sphere_mesh

VERTICES, FACES = sphere_mesh(1)
POINTS = sample_features(7, 3)
NUM = len(VERTICES)

GRAPHS = {
    "mesh_graph": (lambda: mesh_graph(FACES, NUM + 1), (NUM + 1, NUM + 1)),
    "point_graph": (lambda: point_graph(POINTS, k=2), (7, 7)),
    "point_graph of a batch": (lambda: point_graph(POINTS, 2, batch=torch.arange(7) % 2), (7, 7)),
    "skeleton_graph": (lambda: skeleton_graph(POINTS), (7, 7)),
    "fusion_graph": (lambda: fusion_graph(POINTS, VERTICES, k=2), (7, NUM)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_knows_its_size_and_order(name):
    build, size = GRAPHS[name]
    edge_index, edge_weight = build()
    assert isinstance(edge_index, EdgeIndex)
    assert edge_index.validate().sparse_size() == size
    assert edge_index.sort_order == "col"
    assert edge_weight.shape == (edge_index.size(1),)


def hetero():
    path = Data(pos=POINTS[:4], edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]).int())
    weighed = path.clone()
    weighed.edge_weight = torch.rand(3)
    return multilevel_graph({"mesh": (VERTICES, FACES), "path": path, "same": weighed}, k=2)


@pytest.mark.parametrize("data", [hetero(), bilayer_graph(POINTS, VERTICES, FACES)])
@pytest.mark.parametrize("copies", [1, 3])
def test_hetero_data_and_their_batches_know_their_sizes(data, copies):
    batch = next(iter(DataLoader([data] * copies, batch_size=copies)))
    for source, relation, target in batch.edge_types:
        edge_index = batch[source, relation, target].edge_index
        assert isinstance(edge_index, EdgeIndex)
        size = batch[source].num_nodes, batch[target].num_nodes
        assert edge_index.validate().sparse_size() == size
        if relation == "informs":
            drives = batch[target, "drives", source].edge_index
            assert torch.equal(edge_index.as_tensor(), drives.as_tensor().flip(0))


def test_a_graph_with_an_edge_index_of_its_own():
    edges = EdgeIndex([[0, 1, 2, 2], [1, 0, 0, 1]], sparse_size=(3, 3))
    plain, own = (
        multilevel_graph([Data(pos=POINTS[:3], edge_index=index)])["level0", "level0"]
        for index in (edges.as_tensor(), edges)
    )
    assert torch.equal(plain.edge_index, own.edge_index)
    assert torch.equal(plain.edge_weight, own.edge_weight)


def test_edges_survive_a_file():
    buffer = io.BytesIO()
    torch.save(hetero(), buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    assert loaded["path", "drives", "mesh"].edge_index.sparse_size() == (4, NUM)
