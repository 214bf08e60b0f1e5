import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.nn import (
    BidirectionalFusionConv,
    BilayerBlock,
    FusionBlock,
    GCNBlock,
    GroupNorm,
    LayerNorm,
    LazyLayerNorm,
    Linear,
    StaticGraph,
)
from bilayer_graph.ops import reference
from bilayer_graph.testing import (
    assert_close,
    random_graph,
    sample_bipartite,
    sample_features,
    to_dense,
)

FIRST, SECOND, CHANNELS = 12, 42, 32
GRAPHS = {nodes: random_graph((nodes, nodes), 4 * nodes, seed=nodes) for nodes in (FIRST, SECOND)}


def static_graph(nodes):
    edge_index, weight = GRAPHS[nodes]
    return StaticGraph(edge_index, weight.abs() / 4, (nodes, nodes))


def fusion(num_edges=None):
    half = CHANNELS // 2
    edges = sample_bipartite((FIRST, SECOND), num_edges)
    return BidirectionalFusionConv(half, half, *edges, size=(FIRST, SECOND))


class OneGraph(torch.nn.Module):
    """A GCN block with its graph, called as the blocks of two graphs are."""

    def __init__(self, in_channels=CHANNELS, out_channels=CHANNELS, norm="group"):
        super().__init__()
        self.block, self.graph = GCNBlock(in_channels, out_channels, norm), static_graph(SECOND)

    def forward(self, x):
        return (self.block(x[1], self.graph()),)


class TwoGraphs(torch.nn.Module):
    def __init__(self, num_edges=None, norm="group"):
        super().__init__()
        self.block = BilayerBlock(CHANNELS, CHANNELS, fusion(num_edges), norm)
        self.graphs = torch.nn.ModuleList([static_graph(FIRST), static_graph(SECOND)])

    def forward(self, x):
        return self.block(x, tuple(graph() for graph in self.graphs))


BLOCKS = {
    "gcn": OneGraph,
    "fusion": lambda: FusionBlock(CHANNELS, CHANNELS, fusion()),
    "bilayer": TwoGraphs,
    "bilayer, sparse fusion": lambda: TwoGraphs(60),
    "gcn, layer norm": lambda: OneGraph(norm="layer"),
    "fusion, layer norm": lambda: FusionBlock(CHANNELS, CHANNELS, fusion(), "layer"),
    "bilayer, layer norm": lambda: TwoGraphs(norm="layer"),
}
ALL = pytest.mark.parametrize("name", BLOCKS)


def make(name):
    """A block whose parameters are all away from their start, where many are 0 or 1."""
    torch.manual_seed(0)
    block = BLOCKS[name]()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return block


def features(*batch):
    return (
        sample_features(*batch, FIRST, CHANNELS, seed=2),
        sample_features(*batch, SECOND, CHANNELS, seed=3),
    )


@ALL
@pytest.mark.parametrize("batch", [(), (1,), (3,)], ids=str)
def test_shapes(name, batch):
    x = features(*batch)
    wanted = [x[1].shape] if name.startswith("gcn") else [x[0].shape, x[1].shape]
    assert [out.shape for out in make(name)(x)] == wanted


@ALL
def test_a_batch_is_a_loop(name):
    block, x = make(name), features(3)
    loop = [block((x[0][i], x[1][i])) for i in range(3)]
    for out, items in zip(block(x), zip(*loop, strict=True), strict=True):
        assert_close(out, torch.stack(items))


@ALL
def test_an_empty_batch(name):
    for out in make(name)(features(0)):
        assert out.shape[0] == 0


@ALL
def test_gradients_reach_every_parameter(name, device):
    block = make(name).to(device)
    x = tuple(tensor.to(device).requires_grad_() for tensor in features(2))
    sum(out.square().mean() for out in block(x)).backward()
    for parameter_name, parameter in block.named_parameters():
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name
    assert x[1].grad.isfinite().all()


@ALL
def test_bfloat16_autocast_stays_close(name, device):
    block, x = make(name).to(device), tuple(tensor.to(device) for tensor in features(2))
    with torch.no_grad():
        wide = block(x)
        with torch.autocast(device.type, torch.bfloat16):
            narrow = block(x)
    for actual, expected in zip(narrow, wide, strict=True):
        assert_close(actual, expected, torch.bfloat16)


@ALL
def test_state_dict_round_trip(name):
    block, other = make(name), BLOCKS[name]()
    other.load_state_dict(block.state_dict())
    for actual, expected in zip(other(features(2)), block(features(2)), strict=True):
        assert torch.equal(actual, expected)
    learned = sum(parameter.numel() for parameter in block.parameters())
    assert sum(t.numel() for t in block.state_dict().values() if t.is_floating_point()) == learned


def normed(norm, x):
    """A norm of the blocks, without its ReLU, from torch's own layers."""
    if isinstance(norm, GroupNorm):
        return reference.group_norm(x, x.size(-1) // 8, norm.weight, norm.bias, norm.eps)
    return torch.nn.functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


def dense_bottleneck(block, x, convolve):
    """Norm, ReLU, step, three times, in float64 and from torch's own layers."""
    linear = torch.nn.functional.linear
    steps = [
        (block.norm_in, lambda x: linear(x, block.lin_in.weight, block.lin_in.bias)),
        (block.norm_conv, convolve),
        (block.norm_out, lambda x: linear(x, block.lin_out.weight, block.lin_out.bias)),
    ]
    for norm, step in steps:
        x = step(normed(norm, x).relu())
    return x


@pytest.mark.parametrize("name", ["gcn", "gcn, layer norm"])
def test_gcn_block_is_what_its_formula_says(name):
    module = make(name).double()
    block, (_, x) = module.block, features(2)
    x = x.double()
    edge_index, weight = GRAPHS[SECOND]
    adjacency = to_dense(edge_index, weight.abs() / 4, (SECOND, SECOND))
    conv = block.conv
    out = dense_bottleneck(block, x, lambda x: adjacency @ x @ conv.lin.weight.t() + conv.bias)
    assert_close(module((None, x))[0], x + out, torch.float32)


@pytest.mark.parametrize("name", ["bilayer", "bilayer, layer norm"])
def test_bilayer_block_is_what_its_formula_says(name):
    module, x = make(name).double(), tuple(tensor.double() for tensor in features(2))
    first, second = (graph() for graph in module.graphs)
    block = module.block
    delta = block.fusions[0](x)
    expected = block.branches[0](x[0], first) + delta[0], block.branches[1](x[1], second) + delta[1]
    for actual, wanted in zip(module(x), expected, strict=True):
        assert_close(actual, wanted)
    # The fusion of both graphs' narrowed features, by the adjacency as one dense matrix.
    conv = block.fusions[0].conv
    to_second = conv.adjacency()[0].value.view(SECOND, FIRST)
    narrow = block.fusions[0].narrow(x[0])
    fused = to_second @ narrow @ conv.lin.weight.t() + conv.bias
    assert_close(delta[1], block.fusions[0].widen(fused))
    # That, from torch's own layers.
    fusion_block, linear = block.fusions[0], torch.nn.functional.linear
    inner = normed(fusion_block.norm_in, x[0]).relu()
    inner = linear(inner, fusion_block.lin_in.weight, fusion_block.lin_in.bias)
    assert_close(narrow, normed(fusion_block.norm_conv, inner).relu())
    outer = normed(fusion_block.norm_out, fused).relu()
    outer = linear(outer, fusion_block.lin_out.weight, fusion_block.lin_out.bias)
    assert_close(delta[1], outer)


def test_bilayer_block_takes_plain_edges():
    module, x = make("bilayer"), features(2)
    edges, weights = zip(*(GRAPHS[nodes] for nodes in (FIRST, SECOND)), strict=True)
    weights = tuple(weight.abs() / 4 for weight in weights)
    for actual, expected in zip(module.block(x, edges, weights), module(x), strict=True):
        assert_close(actual, expected)


def test_gcn_block_with_other_channels():
    module, x = OneGraph(CHANNELS, 48), features(2)
    assert module(x)[0].shape == (2, SECOND, 48)
    assert isinstance(module.block.skip, Linear)


def test_the_fusion_block_is_the_only_link():
    module, x = make("bilayer"), features(1)
    joints = x[0].clone().requires_grad_()
    module((joints, x[1]))[1].sum().backward()
    assert joints.grad.abs().max() > 0
    torch.nn.init.zeros_(module.block.fusions[0].lin_out.weight)
    joints.grad = None
    module((joints, x[1]))[1].sum().backward()
    assert (joints.grad == 0).all()


@pytest.mark.parametrize(
    "make_block",
    [
        lambda: GCNBlock(CHANNELS, 48),
        lambda: BilayerBlock(CHANNELS, CHANNELS, fusion()),
        lambda: BilayerBlock(CHANNELS, CHANNELS, fusion(), "layer"),
    ],
    ids=["gcn", "bilayer", "layer norm"],
)
def test_reset_parameters(make_block):
    block = make_block()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.fill_(7)
    block.reset_parameters()
    assert not any((parameter == 7).any() for parameter in block.parameters())


def test_repr():
    assert str(GCNBlock(32, 48)) == "GCNBlock(32, 48)"
    conv = "BidirectionalFusionConv(16, 16, size=(12, 42), edges=504)"
    assert str(BilayerBlock(CHANNELS, CHANNELS, fusion())) == f"BilayerBlock(32, 32, {conv})"


@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
@pytest.mark.parametrize("batch", [(), (3,)], ids=["one graph", "batch"])
def test_group_norm_layer(batch, relu):
    norm = GroupNorm(24, relu=relu)
    assert (norm.weight == 1).all()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = sample_features(*batch, 7, 24)
    expected = reference.group_norm(x.view(-1, 7, 24), 3, norm.weight, norm.bias, 1e-5, relu)
    assert_close(norm(x), expected.view_as(x))
    assert str(norm) == ("GroupNorm(24, relu=True)" if relu else "GroupNorm(24)")


@pytest.mark.parametrize("channels", [12, 0, -8, 7])
def test_group_norm_of_an_odd_number_of_channels(channels):
    message = rf"^channels={channels}: not a multiple of 8.*Give 8, 16, 24"
    with pytest.raises(InputError, match=message):
        GroupNorm(channels)


def test_gcn_block_of_an_odd_number_of_channels():
    with pytest.raises(InputError, match=r"^out_channels=24: not a multiple of 16.*Give 16, 32"):
        GCNBlock(32, 24)


@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
@pytest.mark.parametrize("batch", [(), (3,)], ids=["one graph", "batch"])
def test_layer_norm_layer(batch, relu):
    norm, torchs = LayerNorm(24, relu=relu), torch.nn.LayerNorm(24)
    assert (norm.weight == 1).all()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    torchs.load_state_dict(norm.state_dict())
    x = sample_features(*batch, 7, 24)
    expected = torchs.double()(x.double())
    expected = expected.relu() if relu else expected
    # The graph that a node is in does not matter.
    assert_close(norm(x, torch.zeros(7, dtype=torch.long), 1), expected)
    assert str(norm) == ("LayerNorm(24, relu=True)" if relu else "LayerNorm(24)")


def test_a_node_is_normalised_on_its_own():
    x = sample_features(5, 24)
    assert_close(LayerNorm(24)(x[2:3]), LayerNorm(24)(x)[2:3])
    assert (LayerNorm(24)(x) - GroupNorm(24)(x)).abs().max() > 0.1


def test_lazy_layer_norm():
    lazy = LazyLayerNorm(relu=True)
    lazy.reset_parameters()
    x = sample_features(3, 7, 40)
    out = lazy(x)
    assert type(lazy) is LayerNorm
    assert lazy.channels == 40
    assert_close(out, LayerNorm(40, relu=True)(x))
    assert str(lazy) == "LayerNorm(40, relu=True)"


def test_a_lazy_block_with_layer_norm():
    torch.manual_seed(0)
    block, (_, x) = GCNBlock(-1, CHANNELS, "layer"), features(2)
    out = block(x, static_graph(SECOND)())
    assert out.shape == x.shape
    assert block.norm_in.channels == CHANNELS


def test_a_lazy_layer_norm_takes_its_weights_from_a_file():
    state = {"weight": torch.arange(5.0), "bias": torch.ones(5)}
    lazy = LazyLayerNorm()
    lazy.load_state_dict(state)
    x = sample_features(2, 5)
    expected = torch.nn.functional.layer_norm(x, (5,), *state.values())
    assert_close(lazy(x), expected)


@pytest.mark.parametrize("norm", ["batch", "", None])
def test_no_such_norm(norm):
    with pytest.raises(InputError, match=r"^norm=.*no such normalisation.*\['group', 'layer'\]"):
        GCNBlock(CHANNELS, CHANNELS, norm)


def keep_all(kept):
    def keep(tensor):
        kept.append(tensor)
        return tensor

    return keep


def test_a_checkpoint_computes_the_block_again_in_the_backward_pass():
    x = [sample_features(2, nodes, CHANNELS, seed=nodes) for nodes in (FIRST, SECOND)]
    graphs = [static_graph(nodes)() for nodes in (FIRST, SECOND)]
    block, calls, results = BilayerBlock(CHANNELS, CHANNELS, fusion()), [], []
    block.branches[1].lin_in.register_forward_hook(lambda *_: calls.append(1))
    for block.checkpoint in (False, True):
        leaves = [each.clone().requires_grad_() for each in x]
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(keep_all(kept), lambda tensor: tensor):
            out = block(leaves, graphs)
        loss = out[0].square().mean() + out[1].square().mean()
        gradients = torch.autograd.grad(loss, [*leaves, *block.parameters()])
        results.append((out, gradients, len(calls), len(kept)))
    (out, gradients, once, many), (again, same, thrice, few) = results
    assert all(map(torch.equal, (*out, *gradients), (*again, *same)))
    assert (once, thrice) == (1, 3)
    assert few < many / 4
    with torch.no_grad():
        assert torch.equal(block(x, graphs)[1], out[1])
