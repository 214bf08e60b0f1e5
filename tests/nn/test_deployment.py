"""Layers and blocks compiled, exported, under autocast and on several processes; bad input."""

import os

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from bilayer_graph.errors import InputError
from bilayer_graph.nn import (
    BidirectionalFusionConv,
    BilayerBlock,
    FusionBlock,
    FusionConv,
    GCNBlock,
    GraphConv,
    GroupNorm,
    LazyGroupNorm,
    MultilayerBlock,
    StaticGraph,
)
from bilayer_graph.testing import (
    assert_close,
    random_graph,
    sample_bipartite,
    sample_features,
)

SIZES, CHANNELS = (11, 7, 4), 16
HALF = CHANNELS // 2
INSIDE = [random_graph((n, n), 3 * n, seed=n) for n in SIZES]
EDGES, WEIGHTS = zip(*INSIDE, strict=True)
ACROSS = [sample_bipartite(SIZES[:2], 30, seed=1), sample_bipartite(SIZES[1:], None, seed=2)]


def fusion(pair=0, channels=HALF, kind=FusionConv, **options):
    return kind(channels, channels, *ACROSS[pair], size=SIZES[pair : pair + 2], **options)


def both(pair=0, channels=HALF):
    return fusion(pair, channels, BidirectionalFusionConv)


def shaken(kind):
    """A module with parameters away from their start, the same ones each time."""
    torch.manual_seed(0)
    module = kind()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


def features(*batch, device="cpu"):
    shapes = [(*batch, nodes, CHANNELS) for nodes in SIZES]
    return [sample_features(*shape, seed=i).to(device) for i, shape in enumerate(shapes)]


class EveryLayer(torch.nn.Module):
    """Every layer and block once, each over the output of the one before."""

    def __init__(self):
        super().__init__()
        sizes = zip(INSIDE, SIZES, strict=True)
        self.graphs = torch.nn.ModuleList(StaticGraph(*graph, (n, n)) for graph, n in sizes)
        self.conv, self.gcn = GraphConv(CHANNELS, CHANNELS), GCNBlock(CHANNELS, CHANNELS)
        self.norm = GroupNorm(CHANNELS)
        self.sparse = fusion(0, CHANNELS, combine="add", normalize="softmax")
        self.complete = fusion(1, CHANNELS, normalize=None)
        self.bilayer = BilayerBlock(CHANNELS, CHANNELS, both(0))
        convs = [both(pair) for pair in (0, 1)]
        self.multi = MultilayerBlock(CHANNELS, CHANNELS, convs)

    def forward(self, first, second, third):
        graphs = [graph() for graph in self.graphs]
        first = self.gcn(self.conv(self.norm(first), graphs[0]), graphs[0])
        second = second + self.sparse((first, second))
        third = third + self.complete((second, third))
        first, second = self.bilayer((first, second), graphs[:2])
        return self.multi((first, second, third), graphs)


class PlainEdges(torch.nn.Module):
    """The same for a disjoint union of graphs and PyG's plain edges."""

    def __init__(self):
        super().__init__()
        self.conv, self.gcn = GraphConv(CHANNELS, CHANNELS), GCNBlock(CHANNELS, CHANNELS)
        self.fusion = fusion(0, CHANNELS)
        convs = [both(pair) for pair in (0, 1)]
        self.multi = MultilayerBlock(CHANNELS, CHANNELS, convs)

    def forward(self, x, edges, weights, across, batch, batch_size):
        first = self.gcn(self.conv(x[0], edges[0], weights[0]), edges[0], None, batch, batch_size)
        second = x[1] + self.fusion((first, x[1]), across)
        return self.multi((first, second, x[2]), edges, weights)


def union(copies):
    """Inputs of PlainEdges: a disjoint union of copies of the three graphs."""

    def repeat(edges, *sizes):
        shift = torch.tensor(sizes).view(2, 1, 1) * torch.arange(copies).view(1, -1, 1)
        return (edges.unsqueeze(1) + shift).flatten(1)

    x = [tensor.flatten(0, 1) for tensor in features(copies)]
    edges = [repeat(each, n, n) for each, n in zip(EDGES, SIZES, strict=True)]
    weights = [weight.repeat(copies) for weight in WEIGHTS]
    batch = torch.arange(copies).repeat_interleave(SIZES[0])
    return x, edges, weights, repeat(ACROSS[0][0], *SIZES[:2]), batch, copies


def results(model, call, *x):
    """Outputs of all levels, and the gradients of every parameter and input."""
    leaves = [*(tensor.requires_grad_() for tensor in x), *model.parameters()]
    out = call(*x)
    loss = sum((o.float() * torch.linspace(-1, 1, o.size(-1), device=o.device)).sum() for o in out)
    grads = torch.autograd.grad(loss, leaves)
    assert all(grad.abs().max() > 0 for grad in grads)
    return [*out, *grads]


def assert_all_close(actual, expected, dtype=None):
    for got, want in zip(actual, expected, strict=True):
        assert_close(got, want, dtype)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_every_layer_compiles_to_one_graph_of_any_batch(backend, device):
    torch.compiler.reset()
    model = shaken(EveryLayer).to(device)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    for batch in (2, 5):
        x = features(batch, device=device)
        with torch._dynamo.config.patch(error_on_recompile=batch > 2):
            actual = results(model, compiled, *x)
        assert_all_close(actual, results(model, model, *x))


def test_plain_edges_compile_to_one_graph():
    torch.compiler.reset()
    model = shaken(PlainEdges)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for copies in (2, 3):
        x, *rest = union(copies)
        actual = results(model, lambda *x, rest=rest: compiled(list(x), *rest), *x)
        expected = results(model, lambda *x, rest=rest: model(list(x), *rest), *x)
        assert_all_close(actual, expected)


def any_batch(*names):
    return {name: {0: torch.export.Dim("batch")} for name in names}


def test_every_layer_exports():
    model = shaken(EveryLayer).eval()
    shapes = any_batch("first", "second", "third")
    program = torch.export.export(model, tuple(features(2)), dynamic_shapes=shapes)
    for batch in (3, 7):
        x = features(batch)
        assert_all_close(program.module()(*x), model(*x))


class BodySize(torch.nn.Module):
    """As many edges as a body has: exporters fold small constants, which hides what they lack."""

    def __init__(self):
        super().__init__()
        joints, vertices = 12, 1723
        self.mesh = StaticGraph(*random_graph((vertices, vertices), 12_000), (vertices, vertices))
        self.skeleton = StaticGraph(*random_graph((joints, joints), 144), (joints, joints))
        size = joints, vertices
        edges = sample_bipartite(size)
        self.block = BilayerBlock(
            CHANNELS, CHANNELS, BidirectionalFusionConv(HALF, HALF, *edges, size=size)
        )
        edges = sample_bipartite(size, 9_000)
        self.sparse = FusionConv(CHANNELS, CHANNELS, *edges, size=size, normalize="softmax")

    def forward(self, first, second):
        first, second = self.block((first, second), (self.skeleton(), self.mesh()))
        return first, second + self.sparse((first, second))


def body_features(batch):
    return sample_features(batch, 12, CHANNELS), sample_features(batch, 1723, CHANNELS, seed=1)


ONNX = {
    "every layer": (EveryLayer, features, ("first", "second", "third")),
    "as large as a body": (BodySize, body_features, ("first", "second")),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ONNX)
def test_onnx_gives_the_same_numbers(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    kind, sample, names = ONNX[name]
    model, path = shaken(kind).eval(), tmp_path / "layers.onnx"
    torch.onnx.export(
        model,
        tuple(sample(2)),
        path,
        dynamo=True,
        dynamic_shapes=any_batch(*names),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (2, 5):
        x = sample(batch)
        inputs = {name: tensor.numpy() for name, tensor in zip(names, x, strict=True)}
        with torch.no_grad():
            expected = model(*x)
        for actual, wanted in zip(session.run(None, inputs), expected, strict=True):
            assert actual.shape == wanted.shape
            assert (torch.from_numpy(actual) - wanted).abs().max() < 1e-4


def test_autocast(device):
    model, x = shaken(EveryLayer).to(device), features(3, device=device)
    expected = results(model, model, *x)
    with torch.autocast(device.type, torch.bfloat16):
        narrow = model(*x)
    loss = sum((o.float() * torch.linspace(-1, 1, CHANNELS, device=device)).sum() for o in narrow)
    leaves = [*x, *model.parameters()]
    grads = torch.autograd.grad(loss, leaves)
    assert all(grad.dtype == leaf.dtype for grad, leaf in zip(grads, leaves, strict=True))
    # Many layers deep, where rounding adds up and a ReLU may open on the other side of zero.
    number = len(narrow)
    for actual, wanted in zip(narrow, expected[:number], strict=True):
        assert (actual - wanted).norm() < 0.1 * wanted.norm()
    actual, wanted = (torch.cat([g.flatten() for g in each]) for each in (grads, expected[number:]))
    assert torch.cosine_similarity(actual, wanted, dim=0) > 0.95


WORLD = 2


def work(rank, path, batch):
    """One process of data-parallel training: half of the batch."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=WORLD)
    parallel = DistributedDataParallel(shaken(EveryLayer))
    x = [part.chunk(WORLD)[rank] for part in features(batch)]
    sum(out.square().mean() for out in parallel(*x)).backward()
    grads = {name: p.grad for name, p in parallel.module.named_parameters()}
    torch.save(grads, os.path.join(path, f"grads{rank}.pt"))
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
def test_data_parallel_gradients_are_those_of_the_whole_batch(tmp_path):
    batch = 4
    torch.multiprocessing.spawn(work, (str(tmp_path), batch), nprocs=WORLD)
    model = shaken(EveryLayer)
    sum(out.square().mean() for out in model(*features(batch))).backward()
    for rank in range(WORLD):
        grads = torch.load(tmp_path / f"grads{rank}.pt")
        assert sum(name.endswith("edge_weight") for name in grads) == 5
        for name, parameter in model.named_parameters():
            assert_close(grads[name], parameter.grad)


# ---- Bad input ----------------------------------------------------------------------------------


def bilayer(x=None, edges=EDGES[:2], weights=WEIGHTS[:2]):
    x = features(2)[:2] if x is None else x
    return BilayerBlock(CHANNELS, CHANNELS, both())(x, edges, weights)


def gcn(x, edges=EDGES[0], weight=WEIGHTS[0]):
    return GCNBlock(CHANNELS, CHANNELS)(x, edges, weight)


BAD = {
    "GroupNorm of 12 channels": (lambda: GroupNorm(12), r"^channels=12.*multiple of 8"),
    "lazy GroupNorm of 12 channels": (
        lambda: LazyGroupNorm()(sample_features(3, 12)),
        r"^channels=12.*multiple of 8",
    ),
    "block of 12 input channels": (lambda: GCNBlock(12, 16), r"^in_channels=12.*multiple of 8"),
    "fusion in one direction": (
        lambda: FusionBlock(CHANNELS, CHANNELS, fusion()),
        r"^conv=FusionConv.*one direction.*Give a BidirectionalFusionConv",
    ),
    "fusion of all channels": (
        lambda: FusionBlock(CHANNELS, CHANNELS, both(0, CHANNELS)),
        r"^conv=BidirectionalFusionConv\(16.*half of the block's channels.*FusionConv\(8, 8",
    ),
    "no fusion": (
        lambda: MultilayerBlock(CHANNELS, CHANNELS, []),
        r"^fusions=\[\].*no stack.*one or more",
    ),
    "fusions in another order": (
        lambda: MultilayerBlock(CHANNELS, CHANNELS, [both(1), both(0)]),
        r"^fusions=.*fusion 0 ends at 4 nodes, the next starts at 11.*order of the graphs",
    ),
    "one width too few": (
        lambda: MultilayerBlock((8, 8), CHANNELS, [both(0), both(1)]),
        r"^in_channels=\(8, 8\).*3 graphs.*one for each",
    ),
    "one graph too many": (lambda: bilayer(features(2)), r"^x=list of 3.*2 graphs.*one for each"),
    "one edge list": (
        lambda: bilayer(edges=EDGES[:1]),
        r"^edge_index=\w+ of 1: there are 2 graphs",
    ),
    "one weight": (lambda: bilayer(weights=WEIGHTS[:1]), r"^edge_weight=\w+ of 1: .* 2 graphs"),
    "a tensor": (lambda: bilayer(features(2)[0]), r"^x=Tensor: there are 2 graphs.*tuple"),
    "a dict": (
        lambda: bilayer(dict(zip("ab", features(2)[:2], strict=True))),
        r"^x=dict: there are 2 graphs.*tuple",
    ),
    "edges of another graph": (
        lambda: bilayer(edges=EDGES[1::-1], weights=WEIGHTS[1::-1]),
        r"^edge_index=\w+ nodes 0\.\.10: the graph has 7 \w+ nodes",
    ),
    "swapped graphs": (
        lambda: bilayer(features(2)[1::-1]),
        r"^x\[0\]=\[2, 7, 16\].*11 nodes.*second graph's",
    ),
    "another batch": (
        lambda: bilayer([features(2)[0], features(3)[1]]),
        r"^x=\[\[2, 11, 16\], \[3, 7, 16\]\].*same number of graphs",
    ),
    "half a graph": (
        lambda: bilayer([features()[0][:5], features()[1]]),
        r"^x\[0\]=\[5, 16\].*11 nodes.*\[K \* 11, C\]",
    ),
    "no targets": (
        lambda: gcn((features()[0], None)),
        r"^x\[1\]=None.*residual.*target",
    ),
    "weights of other edges": (
        lambda: gcn(features()[0], weight=WEIGHTS[0][1:]),
        r"^edge_weight=\[32\].*33 edges.*one weight an edge",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, message = BAD[name]
    with pytest.raises(InputError, match=message):
        call()
