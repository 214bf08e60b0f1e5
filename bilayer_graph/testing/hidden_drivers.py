"""A network of two scales whose true edges are known: to see what a layer finds of them."""

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from bilayer_graph.graphs import fusion_graph, point_graph
from bilayer_graph.nn import StaticGraph

DRIVES, NEAR = ("coarse", "drives", "fine"), ("fine", "near", "fine")
CHANNELS = 4
"""Of the coarse nodes; the fine ones have one."""


class HiddenDrivers:
    """Coarse nodes drive fine ones in the plane, half of them nearby and half anywhere.

    Each fine node follows a hidden mixture of one to three coarse nodes and feels the mean of its
    fine neighbours. Drawn from torch's global generator.

    Args:
        num_coarse: Number of coarse nodes, 3 or more.
        num_fine: Number of fine nodes, more than 6.

    Attributes:
        graph: All pairs as :data:`DRIVES` edges, with 1 / distance as their weights, and the 5
            nearest fine nodes as :data:`NEAR`.
        truth: The mixture ``[num_fine, num_coarse]``; rows sum to 1.
    """

    def __init__(self, num_coarse: int, num_fine: int) -> None:
        coarse, fine = torch.rand(num_coarse, 2), torch.rand(num_fine, 2)
        self.graph = HeteroData()
        edges, prior = fusion_graph(coarse, fine, min_distance=0.05)
        self.graph[DRIVES].edge_index, self.graph[DRIVES].edge_weight = edges, prior
        self.graph[NEAR].edge_index, _ = point_graph(fine, k=5)
        order = torch.cdist(fine, coarse).argsort(dim=1)
        near = torch.randint(3, (num_fine, 3))
        anywhere = torch.randint(num_coarse, (num_fine, 3))
        drivers = order.gather(1, near.where(torch.rand(num_fine, 3) < 0.5, anywhere))
        share = torch.rand(num_fine, 3) + 0.5
        share[torch.arange(3) >= torch.randint(1, 4, (num_fine, 1))] = 0
        mixture = torch.zeros(num_fine, num_coarse).scatter_add(1, drivers, share)
        self.truth = mixture / mixture.sum(dim=1, keepdim=True)

    def measure(self, number: int, noise: float) -> list[HeteroData]:
        """Draw inputs ``x`` and measure the fine nodes: ``y`` with noise, ``signal`` without."""
        num_fine, num_coarse = self.truth.shape
        x_coarse = torch.randn(number, num_coarse, CHANNELS)
        x_fine = torch.randn(number, num_fine, 1)
        signal = self._force(x_coarse) @ self.truth.t() + self._felt(x_fine)
        graphs = []
        for coarse, fine, clean in zip(x_coarse, x_fine, signal, strict=True):
            graph = HeteroData({"coarse": {"x": coarse}, "fine": {"x": fine, "signal": clean}})
            graph["fine"].y = clean + noise * torch.randn(num_fine)
            for kind in (DRIVES, NEAR):
                graph[kind].edge_index = self.graph[kind].edge_index
            graphs.append(graph)
        return graphs

    def _force(self, x: Tensor) -> Tensor:
        return (x[..., 0] * x[..., 1]).tanh() + x[..., 2].sin()

    def _felt(self, x: Tensor) -> Tensor:
        neighbours = StaticGraph(self.graph[NEAR].edge_index)().to_dense()
        mean: Tensor = neighbours / neighbours.sum(dim=1, keepdim=True) @ x
        return mean.squeeze(-1)
