import json

import fusion
import harness
import pytest
import torch
from fusion_backends import AVERAGE, BMM, MATMUL, MAXIMUM, MESSAGES, OURS, SPARSE, backends

from bilayer_graph.testing import assert_close, largest_output, sample_features

JOINTS, VERTICES, BATCH, CHANNELS = 5, 37, 3, 6
POINT = {
    "op": "fusion product",
    "vertices": 20,
    "batch": 1,
    "channels": 8,
    "device": "cpu",
    "dtype": "float32",
    "pass": "forward",
}


def row(backend, median, peak=0.0):
    return {**POINT, "backend": backend, "median_ms": median, "iqr_ms": 0.0, "peak_mb": peak}


@pytest.fixture
def points():
    return sample_features(JOINTS, 3, seed=1), sample_features(VERTICES, 3, seed=2)


@pytest.fixture
def x():
    return (
        sample_features(BATCH, JOINTS, CHANNELS, seed=3),
        sample_features(BATCH, VERTICES, CHANNELS, seed=4),
    )


def reference_adjacencies(points, k):
    """To joints ``[N_s, N_m]`` and to vertices ``[N_m, N_s]``, float64, normalised by row."""
    prior = 1 / torch.cdist(points[1].double(), points[0].double())
    smallest = prior.sort(dim=1, descending=True).values[:, k - 1 : k]
    prior = torch.where(prior >= smallest, prior, 0)
    return prior.t() / prior.sum(0)[:, None], prior / prior.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("name", "k"),
    [(OURS, JOINTS), (MATMUL, JOINTS), (BMM, JOINTS), (MESSAGES, JOINTS), (SPARSE, 3)],
)
def test_products_and_their_gradients(points, x, name, k, device):
    ways = backends(*(p.to(device) for p in points), torch.float32)
    x = tuple(tensor.to(device) for tensor in x)
    adjacencies = reference_adjacencies(points, k)
    wide = x[0].cpu().double(), x[1].cpu().double()
    for out, adjacency, source in zip(
        fusion.task(ways[name], x, "forward")(), adjacencies, wide[::-1], strict=True
    ):
        assert_close(out, adjacency @ source)
    gradients = fusion.task(ways[name], x, "forward+backward")()
    # The outputs' gradients are the features: those of the joints come from the vertices.
    assert_close(gradients[0], adjacencies[1].t() @ wide[1])
    assert_close(gradients[1], adjacencies[0].t() @ wide[0])


@pytest.mark.parametrize("name", [OURS, MESSAGES])
def test_gradients_of_the_weights(points, x, name):
    fusion_way = backends(*points, torch.float32)[name]
    gradient = fusion.task(fusion_way, x, "forward+backward")()[2]
    prior = 1 / torch.cdist(points[1].double(), points[0].double())
    weight = torch.ones(2, VERTICES, JOINTS, dtype=torch.float64, requires_grad=True)
    to_vertices, to_joints = prior * weight[0], (prior * weight[1]).t()
    out_joints = to_joints / to_joints.abs().sum(1, keepdim=True) @ x[1].double()
    out_vertices = to_vertices / to_vertices.abs().sum(1, keepdim=True) @ x[0].double()
    expected = torch.autograd.grad(
        (out_joints, out_vertices), weight, (x[0].double(), x[1].double())
    )
    assert_close(gradient.view_as(weight), expected[0])


@pytest.mark.parametrize(("name", "reduce"), [(AVERAGE, torch.mean), (MAXIMUM, torch.amax)])
def test_pooling(points, x, name, reduce):
    to_joints, to_vertices = fusion.task(backends(*points, torch.float32)[name], x, "forward")()
    nearest = torch.cdist(points[1], points[0]).argmin(dim=1)
    for joint in range(JOINTS):
        mine = nearest == joint
        assert mine.any()
        assert_close(to_joints[:, joint], reduce(x[1][:, mine], dim=1))
        assert torch.equal(
            to_vertices[:, mine], x[0][:, joint : joint + 1].expand(-1, int(mine.sum()), -1)
        )


def test_message_passing_builds_messages_and_ours_does_not(points, x):
    ways, messages = backends(*points, torch.float32), BATCH * JOINTS * VERTICES * CHANNELS
    for name, builds in ((OURS, False), (SPARSE, False), (MESSAGES, True)):
        with largest_output() as largest:
            fusion.task(ways[name], x, "forward+backward")()
        assert (largest.numel >= messages) == builds, name


def test_script(tmp_path, capsys):
    path = tmp_path / "results.json"
    words = ["--vertices", "431", "--batch", "2", "--channels", "8", "--device", "cpu"]
    words += ["--seconds", "0.001", "--json", str(path)]
    assert fusion.main(words) == 0
    written = json.loads(path.read_text())
    rows = written["results"]
    assert {(r["backend"], r["pass"]) for r in rows} == {
        (name, direction)
        for name in (OURS, SPARSE, MATMUL, BMM, MESSAGES, AVERAGE, MAXIMUM)
        for direction in ("forward", "forward+backward")
    }
    for r in rows:
        assert list(r) == list(harness.Result.__annotations__)
        assert (r["op"], r["vertices"], r["batch"], r["channels"]) == ("fusion product", 431, 2, 8)
        assert r["median_ms"] > 0
        assert r["peak_mb"] > 0
    out = capsys.readouterr().out
    assert "431 x 2 x 8, forward: " in out
    assert "x faster than message passing" in out


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    report = harness.Report({})
    report.results = [
        {**row(name, 2.0 * size), "vertices": size, "pass": direction}
        for name in (OURS, MATMUL)
        for size in (20, 30)
        for direction in ("forward", "forward+backward")
    ]
    fusion.draw(report, tmp_path / "results.png")
    assert (tmp_path / "results.png").stat().st_size > 0


def test_quick_covers_what_the_figures_are_about():
    arguments = fusion.parse(["--quick", "--device", "cpu"])
    sizes = {
        (v, p["batch"], p["channels"]) for v in (431, 1723) for p in fusion.points(arguments, v)
    }
    assert arguments.vertices == (431, 1723)
    assert sizes == {(431, 16, 256), (1723, 16, 256)}


def test_too_many_messages_are_named(points, monkeypatch):
    monkeypatch.setattr(fusion, "memory_gb", lambda device: 1e-9)
    report = harness.Report({"seed": 0})
    point = {**POINT, "vertices": VERTICES}
    fusion.measure_point(report, point, backends(*points, torch.float32), JOINTS, 0.0)
    assert MESSAGES not in {r["backend"] for r in report.results}
    assert [(gap["backend"], gap["reason"]) for gap in report.not_measured] == [
        (MESSAGES, "skipped: the messages one way take 0 GB")
    ]


def test_verdict_names_wins_and_losses():
    report, size = harness.Report({}), {"vertices": 1723, "batch": 16, "channels": 256}
    point, rows = {**POINT, **size}, [row(OURS, 2.0, 28.5), row(MATMUL, 1.6), row(BMM, 2.5)]
    rows.append(row(MESSAGES, 110))
    report.results = [{**r, **size} for r in [*rows, row(AVERAGE, 1.9), row(MAXIMUM, 2.0)]]
    # Of vertices, joints and vertices: 16 x 256 x (1723 + 12 + 1723) numbers.
    assert fusion.verdict(report, point, 12) == (
        "1723 x 16 x 256, forward: 1.25 x the time of two matmuls, 0.80 x of two bmm, 55 x faster "
        "than message passing, peak 28.5 MB (its outputs and one operand: 56.7 MB); faster than "
        "ours: "
        f"{MATMUL}, {AVERAGE}"
    )
    del report.results[0]
    assert fusion.verdict(report, point, 12).endswith("ours was not measured")


def test_no_such_mesh(capsys):
    assert fusion.main(["--vertices", "99", "--device", "cpu"]) == 2
    assert "num_vertices=99: no mesh of this size" in capsys.readouterr().err
