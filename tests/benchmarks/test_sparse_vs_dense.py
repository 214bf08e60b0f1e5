import builtins
import json
import sys
from functools import partial
from types import SimpleNamespace

import aggregation_run
import harness
import pytest
import sparse_vs_dense
import torch
import trimesh
from aggregation_backends import BACKENDS, DENSE, FLOOR, OURS
from aggregation_problem import Backend, Layout, Problem, arrange, item
from aggregation_run import BOTH, FORWARD, Passes
from meshes import body_faces
from sparse_vs_dense import affordable, crossing, forecast, main, overtakes, parse

from bilayer_graph.graphs import mesh_graph
from bilayer_graph.testing import assert_close, random_graph, sample_features, to_dense

NODES, BATCH, CHANNELS = 37, 3, 5
KEYS = {
    "op",
    "backend",
    "vertices",
    "batch",
    "channels",
    "device",
    "dtype",
    "pass",
    "median_ms",
    "iqr_ms",
    "peak_mb",
    "runs",
    "disturbed",
}
QUICK_TO_BUILD = [name for name in BACKENDS if not name.startswith("torch.compile")]
SMALL = ["--vertices", "107", "--batch", "2", "--channels", "8", "--seconds", "0.001"]


def point(**changes):
    return {
        "op": "aggregation",
        "vertices": NODES,
        "batch": BATCH,
        "channels": CHANNELS,
        "device": "cpu",
        "dtype": "float32",
        "pass": FORWARD,
        **changes,
    }


def row(backend, median=1.0, peak=1.0, **changes):
    return point(**changes) | {
        "backend": backend,
        "median_ms": median,
        "iqr_ms": 0.0,
        "peak_mb": peak,
    }


def report(*rows):
    report = harness.Report(harness.metadata(torch.device("cpu"), 0))
    report.results.extend(rows)
    return report


def problem(device="cpu", dtype=torch.float64):
    # Not symmetric, with nodes that have no edge; sorted by target, as a mesh graph is.
    edge_index, weight = random_graph((NODES, NODES), 90, dtype=dtype)
    order = edge_index[1].argsort(stable=True)
    (source, target), weight = edge_index[:, order].to(device), weight[order].to(device)
    return Problem(source, target, weight, NODES, BATCH)


@pytest.mark.parametrize("layout", Layout)
def test_layouts_keep_the_items(layout):
    x = sample_features(BATCH, NODES, CHANNELS)
    for index in range(BATCH):
        assert torch.equal(item(arrange(x, layout), layout, BATCH, index), x[index])


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != FLOOR])
def test_backend_gives_the_dense_product(name, device, monkeypatch):
    # The script itself checks what the default compiler makes of it, which takes 10 s.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    backend, graph = BACKENDS[name], problem(device)
    if backend.package != "torch":
        pytest.importorskip(backend.module)
    torch.compiler.reset()
    adjacency = to_dense(torch.stack([graph.source, graph.target]), graph.weight, (NODES, NODES))
    x, grad = (sample_features(BATCH, NODES, CHANNELS, seed=s, dtype=torch.float64) for s in (1, 2))
    own = arrange(x.to(device), backend.layout).detach().requires_grad_()
    out = backend.build(graph)(own)
    (grad_x,) = torch.autograd.grad(out, own, arrange(grad.to(device), backend.layout))
    for index in range(BATCH):
        assert_close(item(out, backend.layout, BATCH, index), adjacency @ x[index])
        assert_close(item(grad_x, backend.layout, BATCH, index), adjacency.t() @ grad[index])


def test_floor_copies_forward_and_backward(device):
    x = sample_features(BATCH, NODES, CHANNELS).to(device).requires_grad_()
    grad = torch.ones_like(x)
    out = BACKENDS[FLOOR].build(problem(device))(x)
    (grad_x,) = torch.autograd.grad(out, x, grad)
    for copy, original in ((out, x), (grad_x, grad)):
        assert torch.equal(copy, original)
        assert copy.data_ptr() != original.data_ptr()


def test_pyg_lib_is_called_as_it_documents(monkeypatch):
    def segment_csr(src, indptr):
        return torch.segment_reduce(src, "sum", offsets=indptr, axis=0)

    monkeypatch.setitem(sys.modules, "pyg_lib", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "pyg_lib.ops", SimpleNamespace(segment_csr=segment_csr))
    backend, passes = BACKENDS["pyg-lib segment_csr"], Passes(point(dtype="float64"), problem(), 0)
    passes.checked(passes.prepare(backend), backend.layout)()


def run_checked(build, layout=Layout.BATCH_FIRST, **changes):
    passes = Passes(point(dtype="float64", **changes), problem(), seed=0)
    passes.checked(passes.prepare(Backend(build, layout)), layout)()


@pytest.mark.parametrize("layout", Layout)
def test_a_result_is_checked_to_its_last_number(layout):
    def build(graph):
        product = BACKENDS[OURS].build(graph)

        def nearly(x):
            if layout is Layout.NODES_FIRST:
                x = x.view(NODES, BATCH, -1).transpose(0, 1)
            out = product(x.reshape(BATCH, NODES, -1))
            out[-1, -1, -1] += wrong
            return arrange(out, layout)

        return nearly

    wrong = 0
    run_checked(build, layout)
    wrong = 0.1
    with pytest.raises(AssertionError, match="largest error"):
        run_checked(build, layout)


def test_a_result_of_another_shape_is_no_result():
    with pytest.raises(AssertionError, match="shape"):
        run_checked(lambda graph: lambda x: BACKENDS[OURS].build(graph)(x).flatten(0, 1))


def test_a_wrong_gradient_is_no_result():
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, matrix):
            return matrix @ x

        @staticmethod
        def backward(ctx, grad):
            return grad, None

    def build(graph):
        edge_index = torch.stack([graph.source, graph.target])
        dense = to_dense(edge_index, graph.weight, (NODES, NODES))
        return lambda x: Wrong.apply(x, dense)

    with torch.no_grad():
        run_checked(build)
    with pytest.raises(AssertionError, match="largest error"):
        run_checked(build, **{"pass": BOTH})


def test_script_reports_every_backend(tmp_path, capsys, monkeypatch):
    def find_spec(module):
        return None if module == "torch_sparse" else object()

    def build(graph):
        raise RuntimeError("not on this machine")

    monkeypatch.setattr(aggregation_run, "find_spec", find_spec)
    monkeypatch.setitem(BACKENDS, "PyG EdgeIndex", Backend(build, Layout.NODES_FIRST))
    path = tmp_path / "results.json"
    assert main([*SMALL, "--json", str(path), "--backends", *QUICK_TO_BUILD]) == 0
    contents = json.loads(path.read_text())
    assert contents.keys() == {"metadata", "results"}
    gaps = contents["metadata"]["not_measured"]
    for row in contents["results"]:
        assert row.keys() == KEYS
        assert row["median_ms"] > 0
        assert row["peak_mb"] > 0
    for direction in (FORWARD, BOTH):
        named = [r["backend"] for r in contents["results"] + gaps if r["pass"] == direction]
        assert sorted(named) == sorted(QUICK_TO_BUILD)
    reasons = {gap["backend"]: gap["reason"] for gap in gaps}
    assert reasons["torch-sparse SparseTensor"] == "missing: torch-sparse is not installed"
    assert reasons["PyG EdgeIndex"] == "failed: RuntimeError: not on this machine"
    out = capsys.readouterr().out
    assert "missing: torch-sparse is not installed" in out
    assert "x ours" in out
    assert "x copy" in out
    assert contents["metadata"]["dense_overtakes"][0] in out


def test_output_and_gradient_are_all_the_memory_of_ours_and_of_the_floor():
    at = point(vertices=400, channels=64, **{"pass": BOTH})
    faces = body_faces(400)
    (source, target), weight = mesh_graph(faces, 400)
    graph = Problem(source, target, weight, 400, BATCH)
    passes = Passes(at, graph, seed=0)
    features = BATCH * 400 * 64 * 4 / 1e6
    runs = {
        name: passes.prepare(BACKENDS[name]) for name in (OURS, FLOOR, "PyG GCNConv node_dim=-2")
    }
    for run in runs.values():
        run()
    peaks = {name: harness.peak_mb(run, torch.device("cpu")) for name, run in runs.items()}
    assert peaks[FLOOR] == pytest.approx(2 * features, rel=1e-3)
    assert peaks[OURS] < 2.5 * features
    # Messages are as many as edges, 7 a vertex.
    assert peaks["PyG GCNConv node_dim=-2"] > 7 * features


def test_quick_changes_only_what_is_not_given():
    full, quick, mixed = parse([]), parse(["--quick"]), parse(["--quick", "--batch", "2"])
    assert tuple(full.vertices) == (107, 431, 1723, 6890, 13348)
    assert (tuple(full.batch), tuple(full.channels)) == ((1, 4, 16, 64), (64, 256, 512))
    assert (tuple(quick.vertices), tuple(quick.batch)) == ((431, 1723), (16,))
    assert tuple(quick.channels) == (256,)
    assert (tuple(mixed.vertices), mixed.batch) == ((431, 1723), [2])
    assert full.backends == BACKENDS
    assert list(parse(["--backends", OURS]).backends) == [OURS, FLOOR]


class Layer(torch.nn.Module):
    """A user's layer."""

    def __init__(self, edge_index, edge_weight, num_nodes):
        super().__init__()
        self.adjacency = to_dense(edge_index, edge_weight, (num_nodes, num_nodes)).float()

    def forward(self, x):
        return self.adjacency @ x


class Transposed(Layer):
    def forward(self, x):
        return self.adjacency.t() @ x


def test_a_users_layer_and_mesh(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "my_layers.py").write_text(f"from {__name__} import Layer, Transposed")
    # A cone is not symmetric: its tip has other degrees than its foot.
    trimesh.creation.cone(1, 2).export("cone.ply")
    words = ["--mesh", "cone.ply", "--batch", "2", "--channels", "8", "--seconds", "0.001"]
    words += ["--layer", "my_layers:Layer", "my_layers:Transposed", "--backends", OURS]
    assert main([*words, "--json", "out.json", "--plot", "out.png"]) == 0
    contents = json.loads((tmp_path / "out.json").read_text())
    assert contents["metadata"]["mesh"] == "cone.ply"
    rows = {(r["backend"], r["pass"], r["vertices"]) for r in contents["results"]}
    number = len(trimesh.load_mesh("cone.ply").vertices)
    names = OURS, FLOOR, "my_layers:Layer"
    assert rows == {(name, p, number) for name in names for p in (FORWARD, BOTH)}
    gaps = contents["metadata"]["not_measured"]
    assert {gap["backend"] for gap in gaps} == {"my_layers:Transposed"}
    assert all("largest error" in gap["reason"] for gap in gaps)


@pytest.mark.parametrize("name", ["json", "json:", ":loads", "no.such:Layer", "json:Layer"])
def test_a_layer_that_is_not_there_is_refused_in_a_line(name, capsys):
    assert main(["--layer", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --layer={name}: ")


def test_forecast_scales_the_largest_row():
    small, large = row("peer", 1.0, 2.0), row("peer", 30.0, 50.0, channels=10 * CHANNELS)
    bigger = point(vertices=4 * NODES, channels=10 * CHANNELS)
    seconds, megabytes = forecast(report(small, large), bigger, "peer")
    features, dense = BATCH * bigger["vertices"] * 10 * CHANNELS, bigger["vertices"] ** 2
    assert seconds == pytest.approx(4 * 30e-3)
    assert megabytes == pytest.approx(4 * 50 + (4 * features + dense) * 4 / 1e6)
    assert forecast(report(row(DENSE, 30.0)), point(vertices=4 * NODES), DENSE)[0] == 16 * 30e-3
    other = row("peer", **{"pass": BOTH})
    assert forecast(report(other), bigger, "peer") == (0, 0)


def test_rows_that_are_too_large_are_named():
    known = report(row("slow", 900.0), row("hungry", 1.0, 900.0), row("fine"))
    twice = point(batch=2 * BATCH)
    names = ["slow", "hungry", "fine", "unknown"]
    assert affordable(known, twice, names, 1.0, 2000.0) == ["fine", "unknown"]
    assert {gap["backend"]: gap["reason"] for gap in known.not_measured} == {
        "slow": "skipped: one run would take about 2 s",
        "hungry": "skipped: needs about 2 of 2 GB",
    }


def test_crossing_is_interpolated_in_logarithms():
    # Time of dense over ours grows as N: 1/2 at 100 and 2 at 400 is 1 at 200.
    assert crossing({100: 0.5, 400: 2.0}).startswith("dense is faster from 100 to 200 vertices")
    assert crossing({100: 2.0, 400: 0.5}).startswith("dense is faster from 200 to 400 vertices")
    both = crossing({100: 0.5, 400: 2.0, 1600: 0.5, 6400: 2.0})
    assert both.startswith("dense is faster from 100 to 200 and 800 to 3200 vertices")
    assert crossing({100: 2.0, 400: 3.0}).startswith("dense is never faster")
    assert crossing({100: 0.2}) == "dense is always faster (measured at 100 vertices)"


def test_overtakes_has_a_line_for_each_batch_and_channels():
    rows = [
        row(name, median, vertices=vertices, batch=batch)
        for batch in (1, 4)
        for vertices, dense in ((100, 0.5), (400, 2.0 * batch))
        for name, median in ((OURS, 1.0), (DENSE, dense))
    ]
    first, second = overtakes(report(*rows))
    assert first.startswith("dtype float32, pass forward, batch 1, channels 5: dense is faster")
    assert "100 to 200 vertices" in first
    # From 1/2 to 8 in four times the vertices: 1 at a quarter of the way in logarithms.
    assert "batch 4" in second
    assert "100 to 141 vertices" in second


def test_plot_draws_a_picture(tmp_path):
    path = tmp_path / "plot.png"
    assert main([*SMALL, "--backends", OURS, DENSE, "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_bad_input_is_told_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sparse_vs_dense, "measure_point", None)
    assert main(["--plot", str(tmp_path / "missing" / "plot.png")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert main(["--vertices", "3"]) == 2
    assert "num_vertices" in capsys.readouterr().err

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    assert main(["--plot", str(tmp_path / "plot.png")]) == 2
    assert "bilayer_graph[plot]" in capsys.readouterr().err
