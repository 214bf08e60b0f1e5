import re

import numpy as np
import pytest
import torch
from example_scripts import load_script
from PIL import Image
from torch_geometric.data import Batch

from bilayer_graph.nn import FusionConv

pytest.importorskip("matplotlib")
script = load_script("reuse_fusion_hetero")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    def call(*arguments):
        words = ["reuse_fusion_hetero.py", "--out", tmp_path / "new" / "edges.png", *arguments]
        monkeypatch.setattr("sys.argv", [str(word) for word in words])
        return script.main(), *capsys.readouterr()

    return call


@pytest.fixture
def network():
    torch.manual_seed(0)
    return script.draw_network(6, 30)


def test_the_hidden_mixture():
    torch.manual_seed(0)
    _, truth = script.draw_network(40, 600)
    assert truth.shape == (600, 40)
    torch.testing.assert_close(truth.sum(1), torch.ones(600))
    drivers = (truth > 0).sum(1).bincount() / 600
    assert len(drivers) == 4
    assert drivers[0] == 0
    # One to three with equal chances; now and then two draws of a node are the same.
    torch.testing.assert_close(drivers[1:], torch.full((3,), 1 / 3), atol=0.12, rtol=0)


def test_measurements_are_the_mixture(network):
    """Regression on the forces and on the neighbours' mean finds the mixture again."""
    data, truth = network
    graphs = script.measure(data, truth, 200, noise=0.0)
    a, b, c = torch.stack([graph["coarse"].x for graph in graphs])[..., :3].unbind(-1)
    force = (a * b).tanh() + c.sin()
    own = torch.stack([graph["fine"].x[:, 0] for graph in graphs])
    source, target = data[script.NEAR].edge_index
    felt = torch.stack([own[:, source[target == node]].mean(1) for node in range(30)], dim=1)
    y = torch.stack([graph["fine"].y for graph in graphs])
    found = torch.linalg.lstsq(force, y - felt).solution.t()
    torch.testing.assert_close(found, truth, atol=1e-4, rtol=0)
    noisy = script.measure(data, truth, 200, noise=2.0)
    noise = torch.stack([graph["fine"].y - graph["fine"].signal for graph in noisy])
    assert float(noise.std()) == pytest.approx(2, abs=0.1)


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_batches_predict_what_single_graphs_do(network):
    data, truth = network
    graphs = script.measure(data, truth, 3, noise=0.0)
    edges = data[script.DRIVES]
    conv = FusionConv(script.HIDDEN, script.HIDDEN, edges.edge_index, edges.edge_weight)
    torch.nn.init.uniform_(conv.edge_weight)
    model = script.HeteroNet(conv)
    alone = torch.cat([model(graph) for graph in graphs])
    torch.testing.assert_close(model(Batch.from_data_list(graphs)), alone)


def test_the_adjacency_starts_as_the_normalised_prior(network):
    data, _ = network
    edges = data[script.DRIVES]
    prior = torch.zeros(30, 6)
    prior[edges.edge_index[1], edges.edge_index[0]] = edges.edge_weight
    conv = FusionConv(4, 4, edges.edge_index, edges.edge_weight)
    torch.testing.assert_close(script.dense(conv), prior / prior.sum(1, keepdim=True))


def test_auc_counts_pairs():
    torch.manual_seed(0)
    score, truth = torch.rand(5, 7), torch.rand(5, 7) < 0.4
    above = score[truth][:, None] > score[~truth][None]
    assert script.auc(score, truth) == pytest.approx(float(above.double().mean()))
    assert script.auc(truth.float(), truth) == 1


def test_precision():
    score = torch.tensor([[0.9, 0.1], [0.5, 0.7]])
    truth = torch.tensor([[True, False], [True, False]])
    expected = torch.tensor([1, 1 / 2, 2 / 3, 2 / 4])
    torch.testing.assert_close(script.precision_curve(score, truth), expected)


def test_script_finds_the_edges(run, tmp_path):
    small = ("--coarse", 5, "--fine", 20, "--graphs", 192, "--epochs", 20, "--noise", 0.3)
    status, printed, _ = run(*small)
    assert status == 0
    errors, edges = printed.split("true edges")
    error = {name: float(value) for name, value in re.findall(r"^  (\S.*?)  +(\S+)", errors, re.M)}
    assert error["FusionConv"] < 0.7 * min(error["SAGEConv"], error["prior, fixed"])
    score = {name: float(value) for name, value in re.findall(r"^  (\w+) +(\S+)", edges, re.M)}
    assert score["learned"] > 0.95
    assert score["learned"] > score["prior"] + 0.1
    shades = np.asarray(Image.open(tmp_path / "new" / "edges.png").convert("RGB"))
    assert len(np.unique(shades.reshape(-1, 3), axis=0)) > 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--coarse", 2), "--coarse=2: less than 3"),
        (("--fine", 6), "--fine=6: less than 7"),
        (("--noise", "nan"), "--noise=nan: less than 0"),
    ],
)
def test_bad_input(run, arguments, message):
    status, _, errors = run(*arguments)
    assert status == 2
    assert errors.startswith(f"error: {message}")
    assert errors.count("\n") == 1
