"""Layers under torch.func, tracing and hooks, changed in place, quantised, in other dtypes."""

import warnings
from functools import partial

import pytest
import torch
from torch.ao.quantization import quantize_dynamic
from torch_geometric.data import Batch, Data
from torch_geometric.nn import HeteroConv, SAGEConv, summary

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import fusion_graph, point_graph
from bilayer_graph.nn import (
    BidirectionalFusionConv,
    BilayerBlock,
    FusionBlock,
    FusionConv,
    GCNBlock,
    GraphConv,
    GroupNorm,
    LayerNorm,
    Linear,
    MultilayerBlock,
    StaticGraph,
)
from bilayer_graph.testing import assert_close, sample_features

DTYPE = torch.float64
COARSE, FINE, C = 4, 12, 16
POS = sample_features(COARSE, 2, seed=1), sample_features(FINE, 2, seed=2)
ACROSS = fusion_graph(*POS, k=2)
NEAR = point_graph(POS[1], k=3)


def across(kind=FusionConv, channels=C, complete=False, **options):
    return kind(channels, channels, *(fusion_graph(*POS) if complete else ACROSS), **options)


class Near(torch.nn.Module):
    """A layer of the fine nodes, over one of the forms of their graph."""

    def __init__(self, layer, static=True):
        super().__init__()
        self.layer, self.graph, self.static = layer, StaticGraph(*NEAR), static

    def forward(self, x):
        return self.layer(x, self.graph()) if self.static else self.layer(x, *NEAR)


class Across(torch.nn.Module):
    """A fusion layer from the coarse nodes, whose features are a part of the fine ones'."""

    def __init__(self, layer, second=True):
        super().__init__()
        self.layer, self.second = layer, second

    def forward(self, x):
        coarse = x.narrow(-2, 0, COARSE)
        out = self.layer((coarse, x if self.second else None))
        return out if isinstance(out, torch.Tensor) else torch.cat(out, dim=-2)


class Both(torch.nn.Module):
    """A Bilayer-Graph block."""

    def __init__(self):
        super().__init__()
        self.block = BilayerBlock(C, C, across(BidirectionalFusionConv, C // 2))
        self.graphs = torch.nn.ModuleList([StaticGraph(*point_graph(POS[0])), StaticGraph(*NEAR)])

    def forward(self, x):
        pair = x.narrow(-2, 0, COARSE), x
        return torch.cat(self.block(pair, [graph() for graph in self.graphs]), dim=-2)


MODELS = {
    "Linear": lambda: Linear(C, C),
    "GroupNorm": lambda: GroupNorm(C),
    "GroupNorm with ReLU": lambda: GroupNorm(C, relu=True),
    "LayerNorm with ReLU": lambda: LayerNorm(C, relu=True),
    "GraphConv": lambda: Near(GraphConv(C, C)),
    "GraphConv without bias": lambda: Near(GraphConv(C, C, bias=False)),
    "GraphConv of edges": lambda: Near(GraphConv(C, C), static=False),
    "GCNBlock": lambda: Near(GCNBlock(C, C)),
    "GCNBlock with LayerNorm": lambda: Near(GCNBlock(C, C, "layer")),
    "FusionConv": lambda: Across(across()),
    "FusionConv without bias": lambda: Across(across(bias=False), second=False),
    "FusionConv of all pairs": lambda: Across(across(complete=True)),
    "FusionConv with softmax": lambda: Across(across(normalize="softmax", combine="add")),
    "BidirectionalFusionConv": lambda: Across(across(BidirectionalFusionConv)),
    "FusionBlock": lambda: Across(FusionBlock(C, C, across(BidirectionalFusionConv, C // 2))),
    "BilayerBlock": Both,
}
EACH = pytest.mark.parametrize("name", MODELS)
BATCH = pytest.mark.parametrize("batch", [(), (2,)], ids=["one graph", "batch"])


def model(name):
    torch.manual_seed(0)
    module = MODELS[name]().to(DTYPE)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


def features(*batch):
    return sample_features(*batch, FINE, C, seed=3, dtype=DTYPE)


def loss(out):
    return (out**3).sum()


def gradient(module, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(module(x)), x)[0]


@EACH
@BATCH
def test_gradients_by_torch_func(name, batch):
    module, x = model(name), features(*batch)
    assert_close(torch.func.grad(lambda x: loss(module(x)))(x), gradient(module, x))
    direction = features(*batch).flip(0)
    (_, tangent) = torch.func.jvp(lambda x: loss(module(x)), (x,), (direction,))
    assert_close(tangent, (gradient(module, x) * direction).sum())


@EACH
def test_a_gradient_each_sample(name):
    module, x = model(name), features(3)
    parameters = {key: value.detach() for key, value in module.named_parameters()}

    def of_one(parameters, x):
        return loss(torch.func.functional_call(module, parameters, (x,)))

    got = torch.func.vmap(torch.func.grad(of_one), (None, 0))(parameters, x)
    for item in range(3):
        module.zero_grad()
        loss(module(x[item])).backward()
        for key, parameter in module.named_parameters():
            assert_close(got[key][item] + 1, parameter.grad + 1)


@EACH
@BATCH
def test_a_result_may_be_changed_in_place(name, batch):
    if name == "LayerNorm with ReLU":
        pytest.skip("torch's own relu keeps its result")
    module, x = model(name), features(*batch).requires_grad_()
    leaves = [x, *module.parameters()]
    wanted = torch.autograd.grad(loss((2 * module(x) + 1).relu()), leaves)
    out = torch.nn.functional.relu(module(x).mul_(2).add_(1), inplace=True)
    for got, want in zip(torch.autograd.grad(loss(out), leaves), wanted, strict=True):
        assert_close(got, want)


@EACH
@BATCH
@pytest.mark.filterwarnings("ignore")
def test_traced(name, batch):
    module, x = model(name).eval(), features(*batch)
    traced = torch.jit.trace(module, (x,))
    assert_close(traced(2 * x), module(2 * x))


# Torch looks for inputs that need gradients, but not in a pair of features.
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@EACH
def test_hooks_see_what_passes(name):
    module, x = model(name), features(2)
    kept, wanted = {}, gradient(module, x)
    for key, part in module.named_modules():
        part.register_full_backward_hook(lambda *_: None)
        part.register_full_backward_pre_hook(lambda *_: None)
        part.register_forward_hook(partial(keep, kept, key))
    assert_close(gradient(module, x), wanted)
    for out, before in kept.values():
        for now, then in zip(tensors(out), before, strict=True):
            assert torch.equal(now, then)


def keep(kept, key, part, inputs, out):
    kept[key] = out, copies(out)


def tensors(out):
    return [t for t in (out if isinstance(out, tuple) else (out,)) if isinstance(t, torch.Tensor)]


def copies(out):
    return [tensor.detach().clone() for tensor in tensors(out)]


@EACH
@BATCH
def test_summary(name, batch):
    assert type(model(name)).__name__ in summary(model(name), features(*batch), max_depth=5)


@EACH
@pytest.mark.filterwarnings("ignore")
def test_dynamic_quantisation(name):
    module = model(name).float().eval()
    x = features(2).float()
    assert_close(quantize_dynamic(module)(x), module(x))


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_other_dtypes(name, dtype):
    module, x = model(name), features(2)
    out = module.to(dtype)(x.to(dtype))
    assert out.dtype == dtype
    assert (out.double() - model(name)(x)).norm() < 0.1 * out.double().norm()


# ---- What PyG hands over ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32], ids=str)
@pytest.mark.parametrize("kind", [GraphConv, GCNBlock])
@BATCH
def test_edges_of_small_integers(kind, dtype, batch):
    layer, x = kind(C, C), features(*batch).float()
    edges, weight = NEAR[0].as_tensor(), NEAR[1]
    assert torch.equal(layer(x, edges.to(dtype), weight), layer(x, edges, weight))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32], ids=str)
def test_fusion_edges_of_small_integers(dtype):
    edges, prior = ACROSS[0].as_tensor(), ACROSS[1]
    torch.manual_seed(0)
    narrow = FusionConv(C, C, edges.to(dtype), prior)
    x = features().float()
    assert torch.equal(narrow((x[:COARSE], x), edges.to(dtype)), narrow((x[:COARSE], x), edges))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32], ids=str)
def test_batch_vectors_of_small_integers(dtype):
    x, batch = features().float(), torch.arange(FINE) // 5
    for layer in (GroupNorm(C), LayerNorm(C)):
        assert torch.equal(layer(x, batch.to(dtype)), layer(x, batch))
    block = GCNBlock(C, C)
    assert torch.equal(block(x, *NEAR, batch.to(dtype)), block(x, *NEAR, batch))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(FINE), r"^batch=torch.float32: not indices"),
        (torch.zeros(3, dtype=torch.long), r"^batch=\[3\]: there are 12 nodes.*shape \[N\]"),
        ([0] * FINE, r"^batch=list"),
    ],
)
def test_bad_batch_vectors(batch, message):
    with pytest.raises(InputError, match=message):
        GroupNorm(C)(features().float(), batch)


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_a_bidirectional_layer_is_refused_by_a_hetero_conv():
    both, edges = across(BidirectionalFusionConv), {("c", "d", "f"): ACROSS[0]}
    x = {"c": torch.rand(COARSE, C), "f": torch.rand(FINE, C)}
    with pytest.raises(InputError, match=r"^edge_index=EdgeIndex: features of both.*HeteroConv"):
        HeteroConv({("c", "d", "f"): both})(x, edges)
    beside = HeteroConv({("c", "d", "f"): both, ("f", "n", "f"): SAGEConv(C, C)})
    with pytest.raises(InputError, match="one FusionConv for each direction"):
        beside(x, {**edges, ("f", "n", "f"): NEAR[0]})


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_two_edge_types_into_one_node_type():
    near, far = across(), across(complete=True)
    x = {"c": torch.rand(COARSE, C), "f": torch.rand(FINE, C)}
    convs = HeteroConv({("c", "near", "f"): near, ("c", "far", "f"): far})
    edges = {("c", "near", "f"): ACROSS[0], ("c", "far", "f"): fusion_graph(*POS)[0]}
    out = convs(x, edges)["f"]
    assert_close(out, near((x["c"], None)) + far((x["c"], None)))


def test_an_empty_union():
    edges, batch = torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    x = torch.rand(0, C, requires_grad=True)
    assert GraphConv(C, C)(x, edges).shape == (0, C)
    assert GroupNorm(C)(x, batch).shape == (0, C)
    assert GCNBlock(C, C)(x, edges, None, batch).shape == (0, C)
    for conv in (across(), across(complete=True)):
        assert conv((x, x), edges).shape == conv((x, None)).shape == (0, C)
    first, second = across(BidirectionalFusionConv)((x, x))
    assert first.shape == second.shape == (0, C)
    fusion = across(BidirectionalFusionConv, C // 2)
    out = MultilayerBlock(C, C, [fusion])((x, x), (edges, edges))
    assert [part.shape for part in out] == [(0, C)] * 2
    sum(part.sum() for part in out).backward()
    assert x.grad.shape == (0, C)


# ---- Unions that nobody said are unions ---------------------------------------------------------


def path(nodes):
    ends = torch.arange(nodes - 1)
    edges = torch.stack([ends, ends + 1])
    return Data(x=torch.rand(nodes, C), edge_index=torch.cat([edges, edges.flip(0)], dim=1))


UNION = Batch.from_data_list([path(5), path(3), path(4)])


@pytest.mark.parametrize("form", ["edges", "matrix"])
def test_a_union_without_batch_warns_once(form):
    edges = UNION.edge_index if form == "edges" else StaticGraph(UNION.edge_index, None, (12, 12))()
    larger = torch.cat([UNION.edge_index, UNION.edge_index + 12], dim=1)
    block = GCNBlock(C, C)
    with pytest.warns(UserWarning, match=r"x=\[12, 16\].*3 parts.*Give batch"):
        block(UNION.x, edges)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block(UNION.x, edges)
        block(torch.rand(24, C), larger)


def test_a_union_after_a_single_graph_warns():
    block = GCNBlock(C, C)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block(path(5).x, path(5).edge_index)
    with pytest.warns(UserWarning, match="3 parts"):
        block(UNION.x, UNION.edge_index)


RING = torch.arange(5)
SILENT = {
    "a batch": lambda block: block(UNION.x, UNION.edge_index, None, UNION.batch),
    "one graph": lambda block: block(UNION.x, UNION.edge_index, batch_size=1),
    "a static batch": lambda block: block(UNION.x.expand(2, 12, C), UNION.edge_index),
    "a ring": lambda block: block(torch.rand(5, C), torch.stack([RING, RING.roll(1)])),
    "nodes without edges": lambda block: block(torch.rand(9, C), path(5).edge_index + 2),
    "no edges": lambda block: block(torch.rand(9, C), path(1).edge_index),
    "loops": lambda block: block(torch.rand(9, C), torch.arange(9).expand(2, -1)),
    "LayerNorm": lambda _: GCNBlock(C, C, "layer")(UNION.x, UNION.edge_index),
}


@pytest.mark.parametrize("name", SILENT)
def test_no_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SILENT[name](GCNBlock(C, C))


def test_the_bilayer_block_knows_its_unions():
    pieces = point_graph(POS[1], k=3, batch=torch.arange(FINE) // 6)
    graphs = StaticGraph(*point_graph(POS[0]))(), StaticGraph(*pieces)()
    x = features().float()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BilayerBlock(C, C, across(BidirectionalFusionConv, C // 2))((x[:COARSE], x), graphs)
