"""The layers and blocks as PyG's users meet them: pairs, lazy sizes, forms of edges, batches."""

import copy
import io
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import HeteroConv, SAGEConv, summary, to_hetero
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor

from bilayer_graph.nn import (
    BidirectionalFusionConv,
    BilayerBlock,
    FusionBlock,
    GCNBlock,
    GraphConv,
    GroupNorm,
    LazyGroupNorm,
    MultilayerBlock,
)
from bilayer_graph.testing import (
    assert_close,
    random_graph,
    sample_bipartite,
    sample_features,
    to_dense,
)

SIZES, CHANNELS, COPIES = (11, 7, 4), 16, 3
HALF = CHANNELS // 2
LEVELS = ("fine", "middle", "coarse")
DOUBLE = torch.float64
INSIDE = [random_graph((n, n), 3 * n, seed=n, dtype=DOUBLE) for n in SIZES]
ACROSS = [
    sample_bipartite(SIZES[:2], 30, seed=1, dtype=DOUBLE),
    sample_bipartite(SIZES[1:], None, seed=2, dtype=DOUBLE),
]
EDGES, WEIGHTS = zip(*INSIDE, strict=True)
# Edges from 11 source to 7 target nodes, and the widths of both.
BETWEEN, WEIGHT = random_graph(SIZES[:2], 30, seed=3, dtype=DOUBLE)
WIDTHS = (CHANNELS, 24)
pytestmark = pytest.mark.filterwarnings("ignore:Sparse")  # torch's notices about its sparse tensors


def shaken(module, seed=0):
    """In float64, and with parameters away from their start, where many are 0 or 1."""
    torch.manual_seed(seed)
    for parameter in module.double().parameters():
        if not isinstance(parameter, torch.nn.UninitializedParameter):
            torch.nn.init.normal_(parameter, std=0.5)
    return module


def features(*batch, channels=(CHANNELS,) * 3, dtype=DOUBLE):
    shapes = zip(SIZES, channels, strict=False)
    return tuple(
        sample_features(*batch, nodes, width, seed=seed, dtype=dtype)
        for seed, (nodes, width) in enumerate(shapes)
    )


def fusion(pair=0, in_channels=HALF):
    size = SIZES[pair : pair + 2]
    return BidirectionalFusionConv(in_channels, HALF, *ACROSS[pair], size=size)


# ---- The layers in float64, from their formulas and torch's own functions -----------------------


def dense_norm(norm, x):
    out = F.group_norm(x.transpose(1, 2), x.size(2) // 8, norm.weight, norm.bias, norm.eps)
    return out.transpose(1, 2).relu()


def dense_linear(layer, x):
    return x @ layer.weight.t() + layer.bias


def dense_conv(conv, x, adjacency):
    return adjacency @ x @ conv.lin.weight.t() + conv.bias


def dense_widen(block, x):
    return dense_linear(block.lin_out, dense_norm(block.norm_out, x))


def dense_narrow(block, x, norm="norm_in", lin="lin_in"):
    x = dense_linear(getattr(block, lin), dense_norm(getattr(block, norm), x))
    return dense_norm(block.norm_conv, x)


def dense_gcn(block, x, adjacency):
    source, target = x if isinstance(x, tuple) else (x, x)
    out = dense_widen(block, dense_conv(block.conv, dense_narrow(block, source), adjacency))
    learned = isinstance(block.skip, torch.nn.Linear | type(block.lin_in))
    return out + (dense_linear(block.skip, target) if learned else target)


def dense_fusion(block, x, pair=0):
    (edges, prior), size = ACROSS[pair], SIZES[pair : pair + 2]
    order = (edges[1] * size[0] + edges[0]).argsort()
    edges, prior = edges[:, order], prior[order]
    own = block.norm_second is not None
    names = ("norm_second", "lin_second") if own else ("norm_in", "lin_in")
    narrow = dense_narrow(block, x[0]), dense_narrow(block, x[1], *names)
    out = []
    for which, (ends, nodes) in enumerate(((edges, size), (edges.flip(0), size[::-1]))):
        weight = prior * block.conv.edge_weight[which]
        raw = torch.zeros(nodes[::-1], dtype=DOUBLE).index_put((ends[1], ends[0]), weight)
        adjacency = raw / raw.abs().sum(1, keepdim=True).clamp_min(1e-300)
        out.append(dense_widen(block, dense_conv(block.conv, narrow[which], adjacency)))
    return out[1], out[0]


def dense_multilayer(block, x):
    adjacencies = [
        to_dense(*graph, (n, n)) for graph, n in zip(INSIDE[: len(x)], SIZES, strict=False)
    ]
    out = [dense_gcn(*parts) for parts in zip(block.branches, x, adjacencies, strict=True)]
    for level, (both, part) in enumerate(zip(pairwise(x), block.fusions, strict=True)):
        first, second = dense_fusion(part, both, level)
        out[level], out[level + 1] = out[level] + first, out[level + 1] + second
    return tuple(out)


def assert_same_with_gradients(block, x, call, expected):
    """Compare values, and the gradients of all parameters and inputs."""
    x = [tensor.requires_grad_() for tensor in x]
    leaves = [*x, *block.parameters()]
    results = []
    for function in (call, expected):
        out = function(x)
        out = (out,) if isinstance(out, torch.Tensor) else out
        upstream = [sample_features(*o.shape, seed=9, dtype=DOUBLE) for o in out]
        grads = torch.autograd.grad(out, leaves, upstream)
        assert all(grad.abs().max() > 0 for grad in grads)
        results.append((*out, *grads))
    for actual, wanted in zip(*results, strict=True):
        assert_close(actual, wanted, torch.float32 if wanted.abs().max() < 1e-9 else None)


MULTI_CHANNELS = {"one width": CHANNELS, "a width each": (CHANNELS, 8, 24)}


@pytest.mark.parametrize("name", MULTI_CHANNELS)
def test_three_levels_are_their_formula(name):
    widths = MULTI_CHANNELS[name]
    block = shaken(MultilayerBlock(widths, CHANNELS, [fusion(0), fusion(1)]))
    x = features(2, channels=(widths,) * 3 if isinstance(widths, int) else widths)
    assert_same_with_gradients(
        block, x, lambda x: block(x, EDGES, WEIGHTS), lambda x: dense_multilayer(block, x)
    )


def test_two_levels_are_the_bilayer_block():
    block = shaken(BilayerBlock((CHANNELS, 24), CHANNELS, fusion()))
    assert_same_with_gradients(
        block,
        features(2, channels=WIDTHS),
        lambda x: block(x, EDGES[:2], WEIGHTS[:2]),
        lambda x: dense_multilayer(block, x),
    )


@pytest.mark.parametrize("widths", [CHANNELS, (CHANNELS, 24)], ids=["one width", "a pair"])
def test_fusion_block_is_its_formula(widths):
    block = shaken(FusionBlock(widths, CHANNELS, fusion()))
    x = features(2, channels=WIDTHS if isinstance(widths, tuple) else (CHANNELS,) * 2)
    assert_same_with_gradients(block, x, block, lambda x: dense_fusion(block, x))


def test_gcn_block_between_two_node_sets_is_its_formula():
    block = shaken(GCNBlock(WIDTHS, CHANNELS))
    adjacency = to_dense(BETWEEN, WEIGHT, SIZES[:2])
    assert_same_with_gradients(
        block,
        features(2, channels=WIDTHS),
        lambda x: block(tuple(x), BETWEEN, WEIGHT),
        lambda x: dense_gcn(block, tuple(x), adjacency),
    )


# ---- Pairs and every form of edges --------------------------------------------------------------


def between_as_edges():
    return BETWEEN, WEIGHT


def between_as_edge_index():
    return EdgeIndex(BETWEEN, sparse_size=SIZES[:2]), WEIGHT


def between_as_coo():
    return (torch.sparse_coo_tensor(BETWEEN.flip(0), WEIGHT, SIZES[1::-1]).coalesce(),)


def between_as_csr():
    return (between_as_coo()[0].to_sparse_csr(),)


def between_as_sparse_tensor():
    if not WITH_TORCH_SPARSE:
        pytest.skip("torch-sparse is not installed")
    source, target = BETWEEN
    return (SparseTensor(row=target, col=source, value=WEIGHT, sparse_sizes=SIZES[1::-1]),)


FORMS = pytest.mark.parametrize(
    "form",
    [
        between_as_edges,
        between_as_edge_index,
        between_as_coo,
        between_as_csr,
        between_as_sparse_tensor,
    ],
    ids=lambda form: form.__name__,
)


@FORMS
@pytest.mark.parametrize("batch", [(), (2,)], ids=["one graph", "batch"])
@pytest.mark.parametrize("in_channels", [CHANNELS, WIDTHS, -1, (-1, -1)], ids=str)
def test_graph_conv_between_two_node_sets(form, batch, in_channels):
    conv, x = GraphConv(in_channels, 5).double(), features(*batch, channels=WIDTHS)
    out = conv(x, *form())
    shaken(conv)
    expected = dense_conv(conv, x[0], to_dense(BETWEEN, WEIGHT, SIZES[:2]))
    assert out.shape == expected.shape
    assert_close(conv(x, *form()), expected)
    assert_close(conv((x[0], None), *form(), size=SIZES[:2]), expected)


@FORMS
def test_the_form_of_edges_says_how_many_targets_there_are(form):
    if form is between_as_edges:
        pytest.skip("a plain list does not say it")
    conv, x = shaken(GraphConv(CHANNELS, 5)), features(2)
    expected = dense_conv(conv, x[0], to_dense(BETWEEN, WEIGHT, SIZES[:2]))
    assert_close(conv((x[0], None), *form()), expected)


@FORMS
def test_gcn_block_takes_any_form_of_edges(form):
    block, x = shaken(GCNBlock(WIDTHS, CHANNELS)), features(2, channels=WIDTHS)
    assert_close(block(x, *form()), block(x, *between_as_edges()))


def forms_of_square_edges():
    """The graphs inside the levels, the first as an EdgeIndex and the second as torch sparse."""
    (first, second, *_), (_, weight, *_) = EDGES, WEIGHTS
    sparse = torch.sparse_coo_tensor(second.flip(0), weight, (SIZES[1],) * 2).coalesce()
    return (EdgeIndex(first, sparse_size=(SIZES[0],) * 2), sparse), (WEIGHTS[0], None)


def test_bilayer_block_takes_other_forms_of_edges():
    block, x = shaken(BilayerBlock(CHANNELS, CHANNELS, fusion())), features(2)[:2]
    edges, weights = forms_of_square_edges()
    for actual, wanted in zip(
        block(x, edges, weights), block(x, EDGES[:2], WEIGHTS[:2]), strict=True
    ):
        assert_close(actual, wanted)


# ---- Lazy sizes, copies, pickles ----------------------------------------------------------------


def call_pair(block, x):
    return block(x[:2])


def call_levels(block, x):
    number = len(block.branches)
    return block(x[:number], EDGES[:number], WEIGHTS[:number])


def call_between(layer, x):
    return (layer(x[:2], BETWEEN, WEIGHT),)


LAYERS = {
    "GraphConv": (lambda c: GraphConv(c, 5), call_between),
    "GraphConv, pair": (lambda c: GraphConv((c, c), 5), call_between),
    "GCNBlock": (lambda c: GCNBlock(c, CHANNELS), lambda m, x: (m(x[0], *INSIDE[0]),)),
    "GCNBlock, wider": (lambda c: GCNBlock(c, 32), lambda m, x: (m(x[0], *INSIDE[0]),)),
    "GCNBlock, pair": (lambda c: GCNBlock((c, c), CHANNELS), call_between),
    "FusionBlock": (lambda c: FusionBlock(c, CHANNELS, fusion(0, min(c, HALF))), call_pair),
    "FusionBlock, pair": (lambda c: FusionBlock((c, c), CHANNELS, fusion()), call_pair),
    "BilayerBlock": (lambda c: BilayerBlock(c, CHANNELS, fusion()), call_levels),
    "MultilayerBlock": (
        lambda c: MultilayerBlock(c, CHANNELS, [fusion(0), fusion(1)]),
        call_levels,
    ),
    "GroupNorm": (
        lambda c: LazyGroupNorm() if c == -1 else GroupNorm(c),
        lambda m, x: (m(x[0]),),
    ),
}
EVERY = pytest.mark.parametrize("name", LAYERS)


# In float32: a pickle of a lazy parameter, PyG's and torch's alike, forgets its dtype.
SINGLE = torch.float32


def lazy(name):
    return LAYERS[name][0](-1).float()


def call(name, layer):
    return LAYERS[name][1](layer, features(2, dtype=SINGLE))


def ready(name):
    """The layer after its first call, as a lazy one becomes."""
    layer = lazy(name)
    call(name, layer)
    return shaken(layer).float()


def assert_same(name, actual, expected):
    for got, want in zip(call(name, actual), call(name, expected), strict=True):
        assert torch.equal(got, want)


def pickled(module):
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def state(module):
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@EVERY
def test_a_lazy_layer_takes_the_size_of_its_first_input(name):
    layer = lazy(name)
    assert any(isinstance(p, torch.nn.UninitializedParameter) for p in layer.parameters())
    call(name, layer)
    assert not any(isinstance(p, torch.nn.UninitializedParameter) for p in layer.parameters())
    built = {key: value.shape for key, value in layer.state_dict().items()}
    if name not in ("GCNBlock", "GCNBlock, pair", "BilayerBlock", "MultilayerBlock"):
        # Those four learn their residual, for nobody knows yet that the sizes are the same.
        explicit = LAYERS[name][0](CHANNELS).state_dict()
        assert built == {key: value.shape for key, value in explicit.items()}
    assert any(CHANNELS in shape for shape in built.values())


@EVERY
def test_the_state_of_a_called_layer_fits_a_fresh_lazy_one(name):
    layer, fresh = ready(name), lazy(name)
    fresh.load_state_dict(state(layer))
    assert_same(name, fresh, layer)


@EVERY
def test_the_state_of_a_fresh_lazy_layer_fits_another(name):
    fresh = lazy(name)
    fresh.load_state_dict(state(lazy(name)))
    call(name, fresh)
    layer = ready(name)
    fresh.load_state_dict(state(layer))
    assert_same(name, fresh, layer)


@EVERY
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled], ids=["deepcopy", "pickle"])
def test_copies_before_and_after_the_first_call(name, duplicate):
    layer = ready(name)
    assert_same(name, duplicate(layer), layer)
    early = duplicate(lazy(name))
    early.load_state_dict(layer.state_dict())
    assert_same(name, early, layer)


@EVERY
def test_reset_of_a_lazy_layer_before_its_first_call(name):
    layer = lazy(name)
    layer.reset_parameters()
    for out in call(name, layer):
        assert out.isfinite().all()


@EVERY
def test_reset_starts_afresh(name):
    layer = ready(name)
    layer.reset_parameters()
    for parameter_name, parameter in layer.named_parameters():
        linear = "lin" in parameter_name or "skip" in parameter_name
        if linear:
            assert 0 < parameter.abs().max() <= 1, parameter_name
        else:
            assert (parameter == (0 if parameter_name.endswith("bias") else 1)).all()


def test_a_lazy_norm_takes_named_arguments():
    x, batch = features()[0], torch.zeros(SIZES[0], dtype=torch.long)
    norm = LazyGroupNorm(relu=True).double()
    assert_close(norm(x, batch=batch, batch_size=1), norm(x))
    assert str(norm) == f"GroupNorm({CHANNELS}, relu=True)"


# ---- DataLoader, Batch --------------------------------------------------------------------------


def hetero(x):
    data = HeteroData()
    for name, features_of_level, (edges, weight) in zip(LEVELS, x, INSIDE, strict=True):
        data[name].x = features_of_level
        data[name, "edge", name].edge_index = edges
        data[name, "edge", name].edge_weight = weight
    return data


def union_of(x):
    loader = DataLoader([hetero(items) for items in zip(*x, strict=True)], batch_size=COPIES)
    return next(iter(loader))


def inputs_of(union, number=3):
    names = LEVELS[:number]
    edges = tuple(union[name, "edge", name].edge_index for name in names)
    weights = tuple(union[name, "edge", name].edge_weight for name in names)
    return tuple(union[name].x for name in names), edges, weights


UNIONS = {
    "GraphConv": (GraphConv(CHANNELS, 5), 1),
    "GCNBlock": (GCNBlock(CHANNELS, 32), 1),
    "FusionBlock": (FusionBlock(CHANNELS, CHANNELS, fusion()), 2),
    "BilayerBlock": (BilayerBlock(CHANNELS, CHANNELS, fusion()), 2),
    "MultilayerBlock": (MultilayerBlock(CHANNELS, CHANNELS, [fusion(0), fusion(1)]), 3),
}


def call_static(layer, x, number):
    if isinstance(layer, GraphConv | GCNBlock):
        return (layer(x[0], *INSIDE[0]),)
    if isinstance(layer, FusionBlock):
        return layer(x[:2])
    return layer(x[:number], EDGES[:number], WEIGHTS[:number])


def call_union(layer, union, number):
    x, edges, weights = inputs_of(union, number)
    if isinstance(layer, GraphConv):
        return (layer(x[0], edges[0], weights[0]),)
    if isinstance(layer, GCNBlock):
        return (layer(x[0], edges[0], weights[0], union["fine"].batch),)
    return layer(x) if isinstance(layer, FusionBlock) else layer(x, edges, weights)


@pytest.mark.parametrize("name", UNIONS)
def test_a_loader_s_batch_is_the_static_batch(name):
    layer, number = UNIONS[name]
    shaken(layer)
    x = features(COPIES)
    results = []
    for out in (
        call_static(layer, x, number),
        [o.unflatten(0, (COPIES, -1)) for o in call_union(layer, union_of(x), number)],
    ):
        upstream = [sample_features(*o.shape, seed=8, dtype=DOUBLE) for o in out]
        results.append([*out, *torch.autograd.grad(out, list(layer.parameters()), upstream)])
    for actual, wanted in zip(*results, strict=True):
        assert_close(actual, wanted)


def test_gcn_block_between_two_node_sets_of_a_union():
    block, x = shaken(GCNBlock(WIDTHS, CHANNELS)), features(COPIES, channels=WIDTHS)
    graphs = []
    for source, target in zip(*x, strict=True):
        graph = HeteroData({"a": {"x": source}, "b": {"x": target}})
        graph["a", "to", "b"].edge_index, graph["a", "to", "b"].edge_weight = BETWEEN, WEIGHT
        graphs.append(graph)
    union = Batch.from_data_list(graphs)
    edges = union["a", "to", "b"]
    pair, batch = (union["a"].x, union["b"].x), (union["a"].batch, union["b"].batch)
    out = block(pair, edges.edge_index, edges.edge_weight, batch)
    assert_close(out, block(x, BETWEEN, WEIGHT).flatten(0, 1))


@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
@pytest.mark.parametrize("batch_size", [None, 3, 5])
def test_group_norm_of_a_union_is_torch_s_of_each_graph(relu, batch_size):
    norm = shaken(GroupNorm(24, relu=relu))
    batch = torch.tensor([0] * 5 + [1] * 1 + [2] * 9)
    x = sample_features(15, 24, dtype=DOUBLE)

    def per_graph(x):
        out = [
            F.group_norm(part.t().unsqueeze(0), 3, norm.weight, norm.bias, norm.eps)[0].t()
            for part in x.split([5, 1, 9])
        ]
        return torch.cat(out).relu() if relu else torch.cat(out)

    assert_same_with_gradients(
        norm, [x], lambda x: norm(x[0], batch, batch_size), lambda x: per_graph(x[0])
    )
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    assert_close(norm(x[order], batch[order], batch_size), norm(x, batch)[order])


# ---- Inside PyG's own models --------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_inside_a_hetero_conv():
    across, inside = shaken(GraphConv(WIDTHS, 5)), shaken(GraphConv(24, 5), seed=1)
    model = HeteroConv({("a", "to", "b"): across, ("b", "near", "b"): inside}, aggr="sum")
    x = dict(zip("ab", features(channels=WIDTHS), strict=True))
    edges = {("a", "to", "b"): BETWEEN, ("b", "near", "b"): EDGES[1]}
    weights = {("a", "to", "b"): WEIGHT, ("b", "near", "b"): WEIGHTS[1]}
    out = model(x, edges, edge_weight_dict=weights)["b"]
    expected = dense_conv(across, x["a"], to_dense(BETWEEN, WEIGHT, SIZES[:2]))
    near = dense_conv(inside, x["b"], to_dense(*INSIDE[1], (SIZES[1],) * 2))
    assert_close(out, expected + near)


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_gcn_blocks_inside_a_hetero_conv():
    across, inside = shaken(GCNBlock(WIDTHS, 16)), shaken(GCNBlock(24, 16), seed=1)
    model = HeteroConv({("a", "to", "b"): across, ("b", "near", "b"): inside}, aggr="sum")
    x = dict(zip("ab", features(channels=WIDTHS), strict=True))
    edges = {("a", "to", "b"): BETWEEN, ("b", "near", "b"): EDGES[1]}
    weights = {("a", "to", "b"): WEIGHT, ("b", "near", "b"): WEIGHTS[1]}
    out = model(x, edges, edge_weight_dict=weights)["b"]
    expected = across((x["a"], x["b"]), BETWEEN, WEIGHT) + inside(x["b"], EDGES[1], WEIGHTS[1])
    assert_close(out, expected)


class Small(torch.nn.Module):
    """A model for one kind of nodes."""

    def __init__(self):
        super().__init__()
        self.first, self.second = GraphConv(-1, 6), GraphConv(6, 5)

    def forward(self, x, edge_index, edge_weight):
        x = self.first(x, edge_index, edge_weight).relu()
        return self.second(x, edge_index, edge_weight)


def test_to_hetero():
    types = [("a", "near", "a"), ("a", "to", "b"), ("b", "back", "a")]
    edges = dict(zip(types, (EDGES[0], BETWEEN, BETWEEN.flip(0)), strict=True))
    weights = dict(zip(types, (WEIGHTS[0], WEIGHT, WEIGHT), strict=True))
    x = dict(zip("ab", features(channels=WIDTHS), strict=True))
    model = to_hetero(Small(), (["a", "b"], types), aggr="sum").double()
    model(x, edges, weights)
    shaken(model)

    def layer(name, x):
        out = {"a": 0, "b": 0}
        for kind in types:
            conv = getattr(model, name)["__".join(kind)]
            size = tuple(x[end].size(0) for end in (kind[0], kind[2]))
            adjacency = to_dense(edges[kind], weights[kind], size)
            out[kind[2]] = out[kind[2]] + dense_conv(conv, x[kind[0]], adjacency)
        return out

    expected = layer("second", {key: value.relu() for key, value in layer("first", x).items()})
    for key, value in model(x, edges, weights).items():
        assert_close(value, expected[key])


class Mixed(torch.nn.Module):
    """Our layers between PyG's own."""

    def __init__(self):
        super().__init__()
        self.sage, self.conv = SAGEConv(-1, CHANNELS), GraphConv(-1, CHANNELS)
        self.block = GCNBlock(CHANNELS, CHANNELS)

    def forward(self, x, edge_index, edge_weight):
        x = self.conv(self.sage(x, edge_index), edge_index, edge_weight)
        return self.block(x, edge_index, edge_weight)


def test_summary_names_every_layer():
    x, (edges, weight) = features(dtype=torch.float32)[0], INSIDE[0]
    text = summary(Mixed(), x, edges, weight.float(), leaf_module=None, max_depth=5)
    for name in ("GraphConv", "GCNBlock", "GroupNorm", "Linear", "SAGEConv"):
        assert name in text
    block = BilayerBlock(CHANNELS, CHANNELS, fusion()).double()
    text = summary(block, features()[:2], EDGES[:2], WEIGHTS[:2], max_depth=3)
    for name in ("BilayerBlock", "GCNBlock", "FusionBlock", "BidirectionalFusionConv"):
        assert name in text


def test_repr():
    assert str(GraphConv(WIDTHS, 5)) == "GraphConv((16, 24), 5)"
    assert str(GraphConv(-1, 5)) == "GraphConv(-1, 5)"
    assert str(GCNBlock(WIDTHS, CHANNELS)) == "GCNBlock((16, 24), 16)"
    assert str(FusionBlock(CHANNELS, CHANNELS, fusion())) == "FusionBlock(16, 16)"
    block = MultilayerBlock(CHANNELS, CHANNELS, [fusion(0), fusion(1)])
    convs = [
        "BidirectionalFusionConv(8, 8, size=(11, 7), edges=30)",
        "BidirectionalFusionConv(8, 8, size=(7, 4), edges=28)",
    ]
    assert str(block) == f"MultilayerBlock(16, 16, [{', '.join(convs)}])"
    assert str(LazyGroupNorm()) == "LazyGroupNorm(-1)"


# ---- The documentation ------------------------------------------------------------------------


PAGE = Path(__file__).parents[2] / "docs" / "layers.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
SHAPE = re.compile(r"^(\S+)  # (\[[\d, ]+\])$", flags=re.MULTILINE)


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_snippets_of_the_documentation_run():
    names: dict = {}
    shapes = []
    for snippet in SNIPPETS:
        exec(snippet, names)
        for expression, shape in SHAPE.findall(snippet):
            assert str(list(eval(expression, names).shape)) == shape
            shapes.append(shape)
    assert len(SNIPPETS) == 6
    assert len(shapes) == 12
    assert_close(names["union"], names["static"].flatten(0, 1))
    assert 0 < names["pruned"].edge_weight.numel() < names["layer"].edge_weight.numel()


def test_adding_a_fusion_conv_takes_five_lines_at_most():
    (diff,) = re.findall(r"```diff\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    added = re.findall(r"^\+(.*)$", diff, flags=re.MULTILINE)
    assert 1 <= len(added) <= 5
    code = "\n".join(SNIPPETS)
    assert all(line.strip() in code for line in added)
