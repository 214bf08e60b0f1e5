"""Graph layers and blocks."""

from bilayer_graph.nn.adjacency import StaticGraph
from bilayer_graph.nn.bidirectional_fusion_conv import BidirectionalFusionConv
from bilayer_graph.nn.bilayer_block import BilayerBlock
from bilayer_graph.nn.fusion_block import FusionBlock
from bilayer_graph.nn.fusion_conv import FusionConv
from bilayer_graph.nn.gcn_block import GCNBlock
from bilayer_graph.nn.graph_conv import GraphConv
from bilayer_graph.nn.group_norm import GroupNorm, LazyGroupNorm
from bilayer_graph.nn.layer_norm import LayerNorm, LazyLayerNorm
from bilayer_graph.nn.linear import Linear
from bilayer_graph.nn.multilayer_block import MultilayerBlock
from bilayer_graph.nn.wide import WideBuffers, WideLinear

__all__ = [
    "BidirectionalFusionConv",
    "BilayerBlock",
    "FusionBlock",
    "FusionConv",
    "GCNBlock",
    "GraphConv",
    "GroupNorm",
    "LayerNorm",
    "LazyGroupNorm",
    "LazyLayerNorm",
    "Linear",
    "MultilayerBlock",
    "StaticGraph",
    "WideBuffers",
    "WideLinear",
]
