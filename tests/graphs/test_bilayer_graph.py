import pytest
import torch
from torch_geometric.loader import DataLoader

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import (
    BONE,
    DRIVES,
    EDGE,
    INFORMS,
    bilayer_graph,
    fusion_graph,
    mesh_graph,
    skeleton_graph,
)
from bilayer_graph.testing import sample_features, sphere_mesh

JOINTS = sample_features(4, 3)
VERTICES, FACES = sphere_mesh(1)


@pytest.fixture
def data():
    return bilayer_graph(JOINTS, VERTICES, FACES)


def test_is_a_valid_heterogeneous_graph(data):
    assert data.validate(raise_on_error=True)
    assert set(data.node_types) == {"joint", "vertex"}
    assert set(data.edge_types) == {
        ("joint", "bone", "joint"),
        ("vertex", "edge", "vertex"),
        ("joint", "drives", "vertex"),
        ("vertex", "informs", "joint"),
    }
    assert data["joint"].num_nodes == 4
    assert data["vertex"].num_nodes == 42
    assert torch.equal(data["vertex"].pos, VERTICES)


@pytest.mark.parametrize(
    ("edge_type", "graph"),
    [
        (BONE, skeleton_graph(JOINTS)),
        (EDGE, mesh_graph(FACES, 42)),
        (DRIVES, fusion_graph(JOINTS, VERTICES)),
    ],
    ids=["bone", "edge", "drives"],
)
def test_holds_the_three_graphs(data, edge_type, graph):
    assert torch.equal(data[edge_type].edge_index, graph[0])
    assert torch.equal(data[edge_type].edge_weight, graph[1])


@pytest.mark.parametrize("k", [None, 2])
def test_informs_is_drives_reversed(k):
    data = bilayer_graph(JOINTS, VERTICES, FACES, k)
    assert torch.equal(data[INFORMS].edge_index, data[DRIVES].edge_index.flip(0))
    assert torch.equal(data[INFORMS].edge_weight, data[DRIVES].edge_weight)
    assert data[DRIVES].num_edges == 42 * (k or 4)


def test_batches_like_any_graph(data):
    batch = next(iter(DataLoader([data, data], batch_size=2)))
    assert batch.validate(raise_on_error=True)
    assert batch["vertex"].num_nodes == 84
    assert torch.equal(batch[DRIVES].edge_index[0, 168:], data[DRIVES].edge_index[0] + 4)
    assert torch.equal(batch[DRIVES].edge_index[1, 168:], data[DRIVES].edge_index[1] + 42)


def test_faces_of_another_mesh():
    with pytest.raises(InputError, match=r"^faces=indices 0\.\.41: a mesh of 12 vertices"):
        bilayer_graph(JOINTS, VERTICES[:12], FACES)


def test_points_that_are_no_mesh():
    with pytest.raises(InputError, match=r"^faces=None: points without faces are no mesh"):
        bilayer_graph(JOINTS, VERTICES)
