"""The models of the sphere benchmark: a mesh alone, or tied to a coarse mesh.

No script of its own.
"""

from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import SimpleConv

from bilayer_graph.errors import InputError
from bilayer_graph.nn import BidirectionalFusionConv, BilayerBlock, GCNBlock, GroupNorm, StaticGraph


class Readout(nn.Module):
    """Two layers from the features of a vertex to its heat."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = GroupNorm(channels, relu=True)
        self.hidden = nn.Linear(channels, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heat ``[B, N]``."""
        heat: Tensor = self.out(self.hidden(self.norm(x)).relu())
        return heat.squeeze(-1)


class MeshOnly(nn.Module):
    """GCN blocks on the mesh: with each, a vertex hears from one edge further."""

    def __init__(self, graph: HeteroData, channels: int, blocks: int, hidden: int) -> None:
        super().__init__()
        self.fine = static_graph(graph, "fine")
        self.lift = nn.Linear(2, channels)
        self.blocks = nn.ModuleList(GCNBlock(channels, channels) for _ in range(blocks))
        self.readout = Readout(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heat ``[B, N]`` that comes of inputs ``[B, N, 2]``."""
        x, adjacency = self.lift(x), self.fine()
        for block in self.blocks:
            x = block(x, adjacency)
        heat: Tensor = self.readout(x)
        return heat


class TwoScale(nn.Module):
    """Bilayer blocks on the mesh and a coarse mesh, tied by learnable fusion edges."""

    informs: Tensor

    def __init__(self, graph: HeteroData, channels: int, blocks: int) -> None:
        super().__init__()
        self.fine, self.coarse = static_graph(graph, "fine"), static_graph(graph, "coarse")
        informs = graph["fine", "informs", "coarse"].edge_index
        self.register_buffer("informs", informs, persistent=False)
        self.pool = SimpleConv("mean")
        self.lift = nn.Linear(2, channels)
        self.blocks = nn.ModuleList(
            BilayerBlock(channels, channels, fusion_conv(graph, channels // 2))
            for _ in range(blocks)
        )
        self.readout = Readout(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heat ``[B, N]`` that comes of inputs ``[B, N, 2]``."""
        pooled = self.pool((x, None), self.informs)
        both = self.lift(pooled), self.lift(x)
        adjacency = self.coarse(), self.fine()
        for block in self.blocks:
            both = block(both, adjacency)
        heat: Tensor = self.readout(both[1])
        return heat


def static_graph(graph: HeteroData, level: str) -> StaticGraph:
    """Return the adjacency inside a level."""
    edges = graph[level, "edge", level]
    return StaticGraph(edges.edge_index, edges.edge_weight)


def fusion_conv(graph: HeteroData, channels: int) -> BidirectionalFusionConv:
    """Return a fusion convolution between the coarse and the fine level."""
    edges = graph["coarse", "drives", "fine"]
    return BidirectionalFusionConv(channels, channels, edges.edge_index, edges.edge_weight)


def mesh_only(graph: HeteroData, channels: int, parameters: int) -> MeshOnly:
    """Return the deepest model of a width; its readout takes the parameters that are left."""
    rest = parameters - num_parameters(MeshOnly(graph, channels, 0, channels))
    blocks, rest = divmod(rest, num_parameters(GCNBlock(channels, channels)))
    if blocks < 1:
        problem = f"one block exceeds the {parameters} parameters of the two-scale model"
        raise InputError("--mesh-channels", channels, problem, "Give fewer channels")
    return MeshOnly(graph, channels, blocks, channels + rest // (channels + 2))


def num_parameters(model: nn.Module) -> int:
    """Return the number of learnable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
