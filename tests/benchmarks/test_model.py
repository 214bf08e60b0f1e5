import dataclasses
import json

import harness
import model
import pytest
import torch
import torch.nn.functional as F
import trimesh
from graphcmr_head import GraphCMRHead
from model_subjects import FOLDED, SUBJECTS, WIDE, Subject, build, whole
from plain_layers import in_plain_torch
from products import multiply_adds, record, replay
from torch.utils.flop_counter import FlopCounterMode

from bilayer_graph.graphs import mesh_graph, skeleton_graph
from bilayer_graph.models import SMALL, ModelConfig
from bilayer_graph.nn import BidirectionalFusionConv, BilayerBlock, StaticGraph
from bilayer_graph.ops import fusion_product, sparse_matrix, spmm
from bilayer_graph.testing import (
    assert_close,
    matrix_to_dense,
    random_graph,
    sample_bipartite,
    sample_features,
    sphere_mesh,
)

CPU = torch.device("cpu")
QUICK = ["--quick", "--device", "cpu", "--seconds", "0.001"]
JOINTS, VERTICES, CHANNELS, IMAGE = 12, 42, 16, 7


@pytest.fixture
def mesh():
    vertices, faces = sphere_mesh(1)
    edges, weight = mesh_graph(faces, VERTICES)
    return vertices, StaticGraph(edges, weight, (VERTICES, VERTICES))


@pytest.fixture
def subject(mesh):
    """A small block."""
    torch.manual_seed(0)
    # No bias, which the layer may add as one more column of the product.
    size, edges = (JOINTS, VERTICES), sample_bipartite((JOINTS, VERTICES))
    layer = BilayerBlock(
        CHANNELS, CHANNELS, BidirectionalFusionConv(8, 8, *edges, size=size, bias=False)
    )
    skeleton = StaticGraph(*skeleton_graph(sample_features(JOINTS, 3)), (JOINTS, JOINTS))

    def inputs(batch):
        return tuple(torch.randn(batch, size, CHANNELS) for size in (JOINTS, VERTICES))

    def run(joints, vertices):
        return layer((joints, vertices), (skeleton(), mesh[1]()))

    return Subject("block", VERTICES, CHANNELS, layer, run, inputs, list(layer.parameters()))


def dense_work(*nodes):
    """Multiply-adds of the linear layers and convolutions of GCN blocks, an image."""
    half = CHANNELS // 2
    return sum(n * (CHANNELS * half + half * half + half * CHANNELS) for n in nodes)


def test_multiply_adds_of_a_block(subject, mesh):
    entries = mesh[1]().col.numel() + JOINTS * JOINTS
    # The fusion's linear layer works on the joints in both directions.
    fusion = dense_work(JOINTS, VERTICES) - (VERTICES - JOINTS) * (CHANNELS // 2) ** 2
    fusion += 2 * JOINTS * VERTICES * CHANNELS // 2
    sparse = entries * CHANNELS // 2
    size = model.size(subject)
    assert size["multiply_adds"] == dense_work(JOINTS, VERTICES) + fusion + sparse
    assert size["sparse_multiply_adds"] == sparse
    assert size["parameters"] == sum(p.numel() for p in subject.module.parameters())


def test_multiply_adds_agree_with_torch():
    convolution = torch.nn.Conv2d(3, 6, 3, padding=1, stride=2)
    linear, attention = torch.nn.Linear(6, 5), torch.nn.Linear(5, 5, bias=False)
    image = torch.randn(2, 3, 9, 9, requires_grad=True)

    def run():
        x = linear(convolution(image).flatten(2).transpose(1, 2))
        (x @ attention(x).transpose(1, 2)).sum().backward()

    products = record(run)
    with FlopCounterMode(display=False) as counter:
        run()
    assert 2 * multiply_adds(products) == counter.get_total_flops()


def test_multiply_adds_of_grouped_convolutions():
    # Torch's counter takes the weights' gradient for that of one group.
    convolution = torch.nn.Conv2d(4, 6, 3, padding=1, stride=2, groups=2)
    image = torch.randn(2, 4, 9, 9, requires_grad=True)
    forward = 2 * 25 * 6 * 9 * 2
    assert multiply_adds(record(lambda: convolution(image))) == forward
    assert multiply_adds(record(lambda: convolution(image).sum().backward())) == 3 * forward


def test_multiply_adds_of_the_packages_operations():
    x = sample_features(2, 9, 4).requires_grad_()
    adjacency = sample_features(5, 9, seed=1).requires_grad_()
    dense = 5 * 9 * 2 * 4
    assert multiply_adds(record(lambda: fusion_product(adjacency, x))) == dense
    products = record(lambda: fusion_product(adjacency, x).sum().backward())
    assert multiply_adds(products) == 3 * dense
    assert multiply_adds(record(replay(products, CPU))) == 3 * dense
    edges, weight = random_graph((9, 5), 20)
    matrix, _ = sparse_matrix(edges, weight.requires_grad_(), (9, 5))
    products = record(lambda: spmm(matrix, x).sum().backward())
    assert multiply_adds(products) == 3 * 20 * 2 * 4
    assert not record(replay(products, CPU))


def test_replay_computes_the_same_products(subject):
    products = record(model.training_task(subject.run, subject.inputs(3), subject.parameters))
    dense = [product for product in products if product.function is not None]
    assert len(dense) < len(products)
    again = record(replay(products, CPU))
    assert multiply_adds(again) == multiply_adds(dense)
    assert [p.multiply_adds for p in again] == [p.multiply_adds for p in dense]
    for one, two in zip(again, dense, strict=True):
        for a, b in zip(one.arguments, two.arguments, strict=True):
            # A matrix times a batch reaches torch as a batch times a batch.
            assert a.shape[-2:] == b.shape[-2:]
            assert a.stride()[-2:] == b.stride()[-2:]


def test_an_operation_that_nobody_counts(monkeypatch):
    library = torch.library.Library("bilayer_graph", "FRAGMENT")
    library.define("uncounted(Tensor x) -> Tensor")
    library.impl("uncounted", lambda x: x.clone(), "CPU")
    with pytest.raises(NotImplementedError, match="bilayer_graph::uncounted"):
        record(lambda: torch.ops.bilayer_graph.uncounted(torch.ones(2)))


def test_graphcmr_head_against_dense_products(mesh):
    torch.manual_seed(0)
    vertices, graph = mesh
    adjacency = matrix_to_dense(graph())
    head = GraphCMRHead(IMAGE, CHANNELS, vertices.double(), adjacency.to_sparse_coo()).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    pooled = sample_features(3, IMAGE, dtype=torch.float64)

    def linear(layer, x):
        return x @ layer.weight.t() + layer.bias

    def normed(norm, x):
        groups = x.size(2) // 8
        x = F.group_norm(x.transpose(1, 2), groups, norm.weight, norm.bias)
        return x.transpose(1, 2).relu()

    def block(b, x):
        norm_in, _, lin_in, norm_conv, _, conv, norm_out, _, lin_out = b.inside
        y = linear(lin_in, normed(norm_in, x))
        y = adjacency @ normed(norm_conv, y) @ conv.weight + conv.bias
        y = linear(lin_out, normed(norm_out, y))
        return y + (x if isinstance(b.skip, torch.nn.Identity) else linear(b.skip, x))

    template = vertices.double().expand(3, -1, -1)
    x = torch.cat([template, pooled[:, None].expand(-1, VERTICES, -1)], dim=2)
    first, *blocks = head.features
    x = linear(first, x)
    for layer in blocks:
        x = block(layer, x)
    camera = linear(head.camera_node[2], normed(head.camera_node[0], x)).relu().squeeze(2)
    wide, narrow, norm, _, last = head.shape
    shape = linear(last, normed(norm, block(narrow, block(wide, x))))
    for actual, expected in zip(head(pooled), (shape, head.camera(camera)), strict=True):
        assert_close(actual, expected)


def test_others_heads_have_the_published_sizes():
    head = SUBJECTS["head"](CPU)
    parameters = {name: sum(map(torch.numel, p.parameters)) for name, p in head.peers.items()}
    assert parameters["graphcmr"] == 1_754_680
    assert round(parameters["fastmetro-s"] / 1e6, 1) == 10.0
    assert {name: peer.vertices for name, peer in head.peers.items()} == {
        "plain torch": 1723,
        "graphcmr": 1723,
        "fastmetro-s": 431,
    }
    model.check(head, head.inputs(1), head.same)
    with torch.no_grad():
        for name in ("graphcmr", "fastmetro-s"):
            vertices, camera = head.peers[name].run(*head.inputs(2))
            assert (vertices.shape, camera.shape) == ((2, 1723, 3), (2, 3))
    with pytest.raises((AssertionError, ValueError)):
        model.check(head, head.inputs(1), ["graphcmr"])


def test_plain_layers_compute_the_same_and_share_parameters(mesh):
    torch.manual_seed(0)
    edges = sample_bipartite((JOINTS, VERTICES))
    fusion = BidirectionalFusionConv(8, 8, *edges, size=(JOINTS, VERTICES))
    block = BilayerBlock(CHANNELS, CHANNELS, fusion)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    plain = in_plain_torch(block)
    kinds = {type(module).__name__ for module in plain.modules()}
    assert kinds.isdisjoint({"GroupNorm", "GraphConv", "BidirectionalFusionConv"})
    assert {*plain.parameters()} == {*block.parameters()}
    skeleton = StaticGraph(*skeleton_graph(sample_features(JOINTS, 3)), (JOINTS, JOINTS))
    graphs = skeleton(), mesh[1]()
    x = [sample_features(3, nodes, CHANNELS, seed=nodes) for nodes in (JOINTS, VERTICES)]
    results = []
    for module in (block, plain):
        out = module(x, graphs)
        loss = out[0].square().mean() + out[1].square().mean()
        results.append((*out, *torch.autograd.grad(loss, list(block.parameters()))))
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected)


def test_folded_models_are_checked():
    subject = SUBJECTS["mobilenet"](CPU)
    assert (subject.vertices, subject.channels) == (431, 128)
    assert subject.same == (FOLDED,)
    model.check(subject, subject.inputs(1), subject.same)
    point = {"pass": model.TRAINING, "batch": 1, "device": "cpu", "dtype": "bfloat16"}
    assert FOLDED not in model.tasks(subject, point, compiles=False)


def test_head_is_the_model_without_encoder_and_regressor():
    torch.manual_seed(0)
    head = SUBJECTS["head"](CPU)
    wide = head.module.eval()
    inputs = head.inputs(1)
    assert [x.shape[1:] for x in inputs[1:]] == [
        (2048,),
        (256, 56, 56),
        (512, 28, 28),
        (1024, 14, 14),
        (2048, 7, 7),
    ]
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        maps, pooled = wide.encoder(image)
        assert [x.shape for x in maps] == [x.shape for x in inputs[2:]]
        assert [x.stride() for x in maps] == [x.stride() for x in inputs[2:]]
        out, whole = head.run(inputs[0], pooled, *maps), wide(image, inputs[0])
    for part, expected in zip(out, (whole.joints, whole.vertices, whole.camera), strict=True):
        assert torch.equal(part, expected)
    learned = sum(p.numel() for p in head.parameters)
    others = [*wide.encoder.parameters(), *wide.readout.regressor.parameters()]
    assert learned == sum(p.numel() for p in wide.parameters()) - sum(p.numel() for p in others)


PICTURES = ModelConfig(
    backbone="mobilenet_v2",
    image_size=64,
    num_vertices=431,
    channels=32,
    num_blocks=1,
    hidden=32,
)


KEYPOINTS = dataclasses.replace(SMALL, backbone="none")


@pytest.mark.parametrize("config", [KEYPOINTS, PICTURES], ids=["keypoints", "picture"])
def test_whole_model(config):
    torch.manual_seed(0)
    small = whole("small model", config, CPU)
    assert (small.op, small.vertices, small.channels) == ("small model", 431, config.channels)
    assert {*small.parameters} == {*small.module.parameters()}
    given = small.inputs(2)
    if config == PICTURES:
        assert [x.shape for x in given] == [(2, 3, 64, 64), (2, 12, 3)]
    else:
        assert [x.shape for x in given] == [(2, 17, 3)]
    for parameter in small.parameters:
        # What a new model has at zero hides what comes before it.
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.01)
    before = [parameter.clone() for parameter in small.parameters]
    model.training_task(small.run, given, small.parameters)()
    for old, new in zip(before, small.parameters, strict=True):
        assert not torch.equal(old, new)
        assert new.grad is None
    image = given if config == PICTURES else (None, *given)
    with torch.no_grad():
        out, named = small.run(*given), vars(small.module(*image))
    assert [x.shape for x in out] == [x.shape for x in named.values()]


@pytest.mark.parametrize("direction", [model.FORWARD, model.TRAINING])
def test_floor_and_mode_of_a_point(subject, direction):
    point = {"pass": direction, "batch": 2, "device": "cpu", "dtype": "float32"}
    ways = model.tasks(subject, point, compiles=False)
    assert set(ways) == {model.OURS, model.UNBUILT, model.FLOOR, model.COPY}
    assert subject.module.training == (direction == model.TRAINING)
    dense = [p for p in record(ways[model.OURS]) if p.function is not None]
    floor = record(ways[model.FLOOR])
    assert all(p.function is not None for p in floor)
    assert multiply_adds(floor) == multiply_adds(dense)


def test_training_step_lowers_the_loss(subject):
    inputs = subject.inputs(2)

    def loss():
        with torch.no_grad():
            return sum(out.square().mean() for out in subject.run(*inputs))

    before, step = loss(), model.training_task(subject.run, inputs, subject.parameters)
    for _ in range(20):
        step()
    assert loss() < before


def test_script(subject, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SUBJECTS, "block", lambda device, body: subject)
    # Compiled blocks are tested with the blocks; here it would take a minute.
    monkeypatch.setattr(torch, "compile", lambda run, **options: run)
    path = tmp_path / "results.json"
    words = ["--subjects", "block", "--batch", "1", "2", "--device", "cpu", "--seconds", "0.001"]
    assert model.main([*words, "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    assert written["metadata"]["subjects"] == [model.size(subject)]
    assert written["metadata"]["not_measured"] == []
    rows = written["results"]
    assert {(r["backend"], r["pass"], r["batch"]) for r in rows} == {
        (backend, direction, batch)
        for backend in (model.OURS, model.UNBUILT, model.COMPILED, model.FLOOR, model.COPY)
        for direction in (model.FORWARD, model.TRAINING)
        for batch in (1, 2)
    }
    for r in rows:
        assert list(r) == list(harness.Result.__annotations__)
        assert r["median_ms"] > 0
    out = capsys.readouterr().out
    assert f"block: {VERTICES} vertices, {CHANNELS} channels" in out
    assert out.count(model.FLOOR) == 5  # once among the columns


def test_quick_names_what_it_does_not_compile(subject, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda run, **options: run)
    for name in model.QUICK_SUBJECTS:
        own = dataclasses.replace(subject, op=name)
        monkeypatch.setitem(SUBJECTS, name, lambda device, body, own=own: own)
    report = model.measure(model.parse([*QUICK, "--batch", "1"]))
    compiled = {(r["op"], r["pass"]) for r in report.results if r["backend"] == model.COMPILED}
    assert compiled == {("block", model.FORWARD)}
    skipped = {(gap["op"], gap["pass"]) for gap in report.not_measured}
    every = {(r["op"], r["pass"]) for r in report.results if r["backend"] == model.OURS}
    assert len(every) == 4
    assert skipped == every - compiled


@pytest.mark.parametrize("direction", [model.FORWARD, model.TRAINING])
def test_half_precision_runs_under_autocast(subject, direction):
    point = {"pass": direction, "batch": 2, "device": "cpu", "dtype": "bfloat16"}
    ways = model.tasks(subject, point, compiles=False)
    recorded = record(ways[model.OURS])
    assert {a.dtype for p in recorded for a in p.arguments} == {torch.bfloat16}
    for run in ways.values():
        run()


def test_a_failing_candidate_is_named(subject, capsys):
    report = harness.Report({"seed": 0})
    point = next(model.points(model.parse(["--device", "cpu"]), subject))
    ways = model.tasks(subject, point, compiles=False)

    def broken():
        raise RuntimeError("no compiler here")

    report.measure(point, {**ways, model.COMPILED: broken}, 0.0)
    model.print_point(report, point)
    assert "failed: RuntimeError: no compiler here" in capsys.readouterr().out


def test_the_block_is_the_heads():
    subject = SUBJECTS["block"](CPU)
    assert (subject.vertices, subject.channels) == (1723, 256)
    assert repr(subject.module) == repr(build(WIDE, CPU, None).blocks[0])
    assert [x.shape for x in subject.inputs(2)] == [(2, 12, 256), (2, 1723, 256)]


def test_a_users_mesh_is_the_subjects(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=1)  # 42 vertices
    ball.export(tmp_path / "ball.off")
    arguments = model.parse(["--mesh", str(tmp_path / "ball.off"), "--device", "cpu"])
    head, small = (SUBJECTS[name](CPU, arguments.body) for name in ("head", "small"))
    for own in (head, small):
        assert own.vertices == own.module.mesh().shape[0] == 42
        with torch.no_grad():
            assert own.run(*own.inputs(1))[1].shape == (1, 42, 3)
    assert head.peers["graphcmr"].vertices == 42


def test_no_such_subject():
    with pytest.raises(SystemExit):
        model.parse(["--subjects", "large"])


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    report = harness.Report({})
    common = {"vertices": 9, "batch": 1, "channels": 8, "device": "cpu", "dtype": "float32"}
    report.results = [
        {"op": op, "backend": backend, **common, "pass": direction, "median_ms": 2.0}
        for op in ("block", "head")
        for backend in (model.OURS, model.COPY)
        for direction in (model.FORWARD, model.TRAINING)
    ]
    model.draw(report, tmp_path / "results.png")
    assert (tmp_path / "results.png").stat().st_size > 0


def test_nowhere_to_draw(capsys):
    pytest.importorskip("matplotlib")
    assert model.main(["--plot", "/nowhere/at/all.png"]) == 2
    assert "there is no such folder" in capsys.readouterr().err
