import re

import numpy as np
import pytest
import torch
from example_scripts import load_script
from PIL import Image
from torch_geometric.data import Batch

from bilayer_graph.nn import FusionConv
from bilayer_graph.testing.hidden_drivers import DRIVES, HiddenDrivers

pytest.importorskip("matplotlib")
pytest.importorskip("torchmetrics")
script = load_script("reuse_fusion_hetero")


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_batches_predict_what_single_graphs_do():
    torch.manual_seed(0)
    network = HiddenDrivers(6, 30)
    graphs, edges = network.measure(3, noise=0.0), network.graph[DRIVES]
    conv = FusionConv(script.HIDDEN, script.HIDDEN, edges.edge_index, edges.edge_weight)
    torch.nn.init.uniform_(conv.edge_weight)
    model = script.HeteroNet(conv)
    alone = torch.cat([model(graph) for graph in graphs])
    torch.testing.assert_close(model(Batch.from_data_list(graphs)), alone)


def test_the_page_finds_the_edges(monkeypatch, capsys, tmp_path):
    for name, value in {"COARSE": 5, "FINE": 20, "GRAPHS": 192, "NOISE": 0.3}.items():
        monkeypatch.setattr(script, name, value)
    picture = tmp_path / "new" / "edges.png"
    monkeypatch.setattr("sys.argv", ["reuse_fusion_hetero.py", "--out", str(picture)])
    script.main()
    printed = capsys.readouterr().out
    rows = re.findall(r"^(\S.*?)  +(\S+)(?:  AUC (\S+))?$", printed, re.M)
    error = {name: float(value) for name, value, _ in rows}
    assert error["FusionConv"] < 0.7 * min(error["SAGEConv"], error["prior, fixed"])
    area = {name: float(value) for name, _, value in rows if value}
    assert area["FusionConv"] > 0.95
    assert area["FusionConv"] > area["prior, fixed"] + 0.1
    shades = np.asarray(Image.open(picture).convert("RGB"))
    assert len(np.unique(shades.reshape(-1, 3), axis=0)) > 100
