"""Find out which coarse nodes drive which fine nodes: FusionConv in a plain PyG model.

    pip install -e ".[train,plot]"
    python examples/reuse_fusion_hetero.py

20 coarse nodes (pumps, muscles, stations) drive 200 fine nodes (gauges, markers, grid cells), see
``HiddenDrivers``; they are measured with noise stronger than the signal. The model gets all 4000
pairs as edges, with 1 / distance as the prior; nobody tells it which are real. What it needs:

    -    DRIVES: SAGEConv(HIDDEN, HIDDEN),
    +    DRIVES: FusionConv(HIDDEN, HIDDEN, data[DRIVES].edge_index, data[DRIVES].edge_weight),

``conv.adjacency()`` then holds the learned edges. Root mean square error on held-out graphs without
their noise, and AUC of the true edges, over seeds 0, 1 and 2; the signal alone is 0.80 to 0.83:

    SAGEConv        0.67 to 0.68
    prior, fixed    0.64 to 0.66  AUC 0.71 to 0.74
    FusionConv      0.23 to 0.24  AUC 0.999 to 1.000
"""

import argparse
import warnings
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import MLP, HeteroConv, MessagePassing, SAGEConv
from torchmetrics.functional.classification import binary_auroc

from bilayer_graph.cli.numbers import picture_path
from bilayer_graph.nn import FusionConv
from bilayer_graph.testing.hidden_drivers import CHANNELS, DRIVES, NEAR, HiddenDrivers

COARSE, FINE, GRAPHS, HELD_OUT, NOISE = 20, 200, 512, 128, 1.0
HIDDEN, BATCH_SIZE, EPOCHS, LEARNING_RATE = 32, 32, 20, 2e-2


class HeteroNet(torch.nn.Module):
    """A plain PyG model of two node types; ``drives`` goes from the coarse to the fine nodes."""

    def __init__(self, drives: MessagePassing) -> None:
        super().__init__()
        sizes = {"coarse": CHANNELS, "fine": 1}
        mlps = {name: MLP([size, HIDDEN, HIDDEN], norm=None) for name, size in sizes.items()}
        self.lift = torch.nn.ModuleDict(mlps)
        self.conv = HeteroConv({DRIVES: drives, NEAR: SAGEConv(HIDDEN, HIDDEN)})
        self.head = MLP([HIDDEN, HIDDEN, 1], norm=None)

    def forward(self, graph: HeteroData) -> Tensor:
        """Return the measurement of each fine node."""
        x = {name: self.lift[name](x) for name, x in graph.x_dict.items()}
        return torch.squeeze(self.head(self.conv(x, graph.edge_index_dict)["fine"]), -1)


def train(model: HeteroNet, graphs: list[HeteroData]) -> None:
    """Fit the measurements."""
    loader, optimizer = DataLoader(graphs, BATCH_SIZE, True), torch.optim.Adam(model.parameters())
    steps = EPOCHS * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in loader:
            loss = (model(batch) - batch["fine"].y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def held_out_error(model: HeteroNet, graphs: list[HeteroData]) -> float:
    """Return the root mean square error against the signal."""
    errors = [model(batch) - batch["fine"].signal for batch in DataLoader(graphs, BATCH_SIZE)]
    return float(torch.cat(errors).square().mean().sqrt())


def draw(matrices: dict[str, Tensor], path: Path) -> None:
    """Draw adjacencies ``[N_fine, N_coarse]``, the last of them the truth."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    order = matrices["truth"].argmax(dim=1).argsort(stable=True)
    columns = figure.subplots(1, len(matrices))
    for axes, (title, matrix) in zip(columns, matrices.items(), strict=True):
        axes.imshow(matrix[order].numpy(), cmap="magma_r", vmin=0, vmax=1, aspect="auto")
        axes.set(title=title, xlabel="coarse node", yticks=[])
    columns[0].set_ylabel("fine node, by its strongest driver")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Train three models, print how well each predicts and which edges it found, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=picture_path, default="out/reuse_fusion.png", help="picture")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "There exist node types .{'coarse'}")
    torch.manual_seed(arguments.seed)
    network = HiddenDrivers(COARSE, FINE)
    graphs, held_out = network.measure(GRAPHS, NOISE), network.measure(HELD_OUT, NOISE)
    print(f"signal alone  {torch.stack([graph['fine'].signal for graph in held_out]).std():.3f}")
    edges, prior = network.graph[DRIVES].edge_index, network.graph[DRIVES].edge_weight
    fixed, learned = (FusionConv(HIDDEN, HIDDEN, edges, prior) for _ in range(2))
    fixed.edge_weight.requires_grad_(False)
    models = {"SAGEConv": SAGEConv(HIDDEN, HIDDEN), "prior, fixed": fixed, "FusionConv": learned}
    matrices = {}
    for name, conv in models.items():
        model = HeteroNet(conv)
        train(model, graphs)
        line = f"{name:<13} {held_out_error(model, held_out):.3f}"
        if isinstance(conv, FusionConv):
            matrices[name] = conv.adjacency().to_dense().detach().abs()
            line += f"  AUC {binary_auroc(matrices[name], (network.truth > 0).int()):.3f}"
        print(line)
    draw({**matrices, "truth": network.truth}, arguments.out)
    print(f"Picture: {arguments.out}")


if __name__ == "__main__":
    main()
