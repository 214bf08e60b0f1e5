"""PyG's explainers on a FusionConv, which has no messages until one of them asks."""

import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.nn import HeteroConv

from bilayer_graph.nn import BidirectionalFusionConv, FusionConv
from bilayer_graph.testing import assert_close, sample_bipartite, sample_features, to_dense

SIZE, CHANNELS, COPIES, DOUBLE = (5, 11), 6, 3, torch.float64
EDGES, PRIOR = sample_bipartite(SIZE, 30, seed=1)
BY_TARGET = (EDGES[1] * SIZE[0] + EDGES[0]).argsort()  # the order in which a layer keeps its edges


def make_conv(kind=FusionConv):
    torch.manual_seed(0)
    conv = kind(CHANNELS, 4, EDGES, PRIOR, size=SIZE).double()
    for parameter in conv.parameters():
        torch.nn.init.normal_(parameter)
    return conv


def features(*batch):
    return tuple(
        sample_features(*batch, nodes, CHANNELS, seed=nodes, dtype=DOUBLE) for nodes in SIZE
    )


def masked_product(adjacency, edges, masks, x, conv):
    """A_f X W + b, each entry of A_f times its edge's mask, graph by graph."""
    size = adjacency.shape[::-1]
    out = [
        adjacency.to_dense() * to_dense(edges, mask, size) @ graph @ conv.lin.weight.t() + conv.bias
        for mask, graph in zip(masks, x, strict=True)
    ]
    return torch.cat(out)


def union_edges(copies):
    shift = torch.tensor(SIZE).view(2, 1)
    return torch.cat([EDGES + copy * shift for copy in range(copies)], dim=1)


@pytest.mark.parametrize("given", ["own order", "shuffled", "left out"])
@pytest.mark.parametrize("copies", [1, COPIES])
def test_a_mask_weighs_each_edge(given, copies):
    conv, x = make_conv(), features(copies)
    masks = sample_features(copies, PRIOR.numel(), seed=5, dtype=DOUBLE)
    order = torch.arange(masks.numel())
    if given == "left out":  # masks are in the layer's order
        masks = masks[:, BY_TARGET.argsort()].clone()
        order = torch.cat([BY_TARGET + copy * len(BY_TARGET) for copy in range(copies)])
    if given == "shuffled":
        order = torch.randperm(masks.numel(), generator=torch.Generator().manual_seed(0))
    edges = union_edges(copies)[:, order]
    set_masks(conv, masks.flatten()[order], edges, apply_sigmoid=False)
    out = conv(tuple(part.flatten(0, 1) for part in x), None if given == "left out" else edges)
    assert_close(out, masked_product(conv.adjacency(), EDGES, masks, x[0], conv))


@pytest.mark.parametrize("copies", [1, COPIES])
def test_a_mask_weighs_each_edge_in_both_directions(copies):
    conv, x = make_conv(BidirectionalFusionConv), features(copies)
    edges = conv.edges.edge_index
    masks = sample_features(copies, PRIOR.numel(), seed=5, dtype=DOUBLE)
    set_masks(conv, masks.flatten(), union_edges(copies), apply_sigmoid=False)
    out = conv(tuple(part.flatten(0, 1) for part in x))
    to_second, to_first = conv.adjacency()
    assert_close(out[1], masked_product(to_second, edges, masks, x[0], conv))
    assert_close(out[0], masked_product(to_first, edges.flip(0), masks, x[1], conv))


def test_without_masks_it_is_the_product_again():
    conv, x = make_conv(), features()
    expected = conv(x)
    set_masks(conv, torch.ones(PRIOR.numel(), dtype=DOUBLE), EDGES, apply_sigmoid=False)
    assert_close(conv(x, EDGES), expected)
    clear_masks(conv)
    assert torch.equal(conv(x, EDGES), expected)


class Fine(torch.nn.Module):
    """The fine nodes of a heterogeneous model."""

    def __init__(self):
        super().__init__()
        self.conv = HeteroConv({("coarse", "drives", "fine"): make_conv()})

    def forward(self, x, edge_index):
        return self.conv(x, edge_index)["fine"]


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_an_explanation_of_a_node_has_the_edges_that_enter_it():
    explainer = Explainer(
        Fine(),
        algorithm=GNNExplainer(epochs=3),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    x = dict(zip(("coarse", "fine"), features(), strict=True))
    edges = {("coarse", "drives", "fine"): EDGES}
    mask = explainer(x, edges, index=4)["coarse", "drives", "fine"].edge_mask
    assert torch.equal(mask > 0, EDGES[1] == 4)
