import json
import re
from itertools import pairwise

import heat_flow
import numpy as np
import pytest
import sphere
import sphere_models
import torch
import trimesh
from heat_flow import LENGTH, SOURCES, SPOT, HeatFlow, draw_samples, smooth_field
from PIL import Image
from scipy.linalg import expm
from sphere_models import MeshOnly, TwoScale, mesh_only, num_parameters

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import multilevel_graph

HARMONICS = {
    1: lambda x, y, z: x + 2 * y - z,
    2: lambda x, y, z: 3 * z**2 - 1 + x * y,
    3: lambda x, y, z: x * y * z,
}


@pytest.fixture
def run(capsys):
    def call(*words):
        return sphere.main([str(word) for word in words]), *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def graph():
    levels = {"fine": trimesh.creation.icosphere(2), "coarse": trimesh.creation.icosphere(0)}
    return multilevel_graph(levels, k=3)


def icosphere_flow(level):
    return HeatFlow(trimesh.creation.icosphere(level))


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_spherical_harmonics_decay_by_their_eigenvalues(degree):
    # u_t = kappa lap u on the unit sphere: Y_lm decays with exp(-l (l + 1) kappa t).
    time, conductivity = 0.1, 1.7
    decay = np.exp(-degree * (degree + 1) * conductivity * time)
    errors = []
    for level in (2, 3, 4):
        flow = icosphere_flow(level)
        start = HARMONICS[degree](*flow.vertices.T)
        uniform = np.full(len(start), conductivity)
        end = flow(start[:, None], uniform, time, steps=40)[:, 0]
        errors.append(abs(end - decay * start).max() / abs(start).max())
    assert errors[-1] < 2e-3
    assert all(finer < 0.5 * coarser for coarser, finer in pairwise(errors))


def gradients(corners):
    """Gradients [3, 3] of the hat functions of a triangle: rows are vertices."""
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    system = np.concatenate([corners[1:] - corners[0], normal[None]])
    hats = np.array([[-1.0, -1, 0], [1, 0, 0], [0, 1, 0]]).T  # values at the ends of two sides
    return np.linalg.solve(system, np.stack([hats[0], hats[1], np.zeros(3)])).T


def test_varying_conductivity_against_the_matrix_exponential():
    flow, draw = icosphere_flow(1), np.random.default_rng(0)
    conductivity = np.exp(smooth_field(flow.vertices, draw))
    start = draw.normal(size=(42, 3))
    stiffness, mass = np.zeros((42, 42)), np.zeros(42)
    for face in flow.faces:
        corners = flow.vertices[face]
        area = np.linalg.norm(np.cross(corners[1] - corners[0], corners[2] - corners[0])) / 2
        hats = gradients(corners)
        stiffness[np.ix_(face, face)] += area * conductivity[face].mean() * hats @ hats.T
        mass[face] += area / 3
    expected = expm(-0.3 * stiffness / mass[:, None]) @ start
    errors = [abs(flow(start, conductivity, 0.3, n) - expected).max() for n in (20, 40, 80)]
    assert errors[-1] < 1e-4
    # The time steps are of second order.
    assert all(3.4 < coarse / fine < 4.6 for coarse, fine in pairwise(errors))


def test_heat_is_conserved_and_evens_out():
    flow, draw = icosphere_flow(2), np.random.default_rng(0)
    conductivity = np.exp(smooth_field(flow.vertices, draw))
    start = draw.uniform(size=(len(flow.vertices), 2))
    end = flow(start, conductivity, 0.3)
    np.testing.assert_allclose(flow.mass @ end, flow.mass @ start, rtol=1e-10)
    level = flow.mass @ start / flow.mass.sum()
    assert abs(flow(start, conductivity, 50.0) - level).max() < 1e-3


def test_samples():
    flow = icosphere_flow(2)
    samples = draw_samples(flow, 3, [5, 0])
    nodes, number = len(flow.vertices), 3 * SOURCES
    assert samples.x.shape == (number, nodes, 2)
    assert samples.y.shape == samples.distance.shape == (number, nodes)
    share = torch.tensor(flow.mass / flow.mass.sum()).float()
    torch.testing.assert_close(samples.y @ share, torch.ones(number))
    torch.testing.assert_close(samples.x[..., 0] @ share, torch.full((number,), SPOT))
    # The spot is hottest at the source; one conductivity for each group of sources.
    assert (samples.x[..., 0].argmax(1) == samples.distance.argmin(1)).all()
    fields = samples.x[..., 1].view(3, SOURCES, nodes)
    assert (fields == fields[:, :1]).all()
    assert not torch.equal(fields[0], fields[1])
    again = draw_samples(flow, 3, [5, 0])
    assert all(torch.equal(*pair) for pair in zip(samples, again, strict=True))
    assert not torch.equal(draw_samples(flow, 3, [5, 1]).y, samples.y)


def test_conductivity_has_unit_variance_and_its_correlation_length():
    draw = np.random.default_rng(0)
    points = np.array([[0.0, 0, 1], [0, np.sin(0.4), np.cos(0.4)], [0, 0, -1]])
    fields = np.stack([smooth_field(points, draw) for _ in range(4000)])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    expected = np.exp(-((gaps / LENGTH) ** 2) / 2)
    np.testing.assert_allclose(fields.T @ fields / 4000, expected, atol=0.06)


@pytest.mark.parametrize("channels", [16, 32])
def test_equal_parameters(graph, channels):
    target = num_parameters(TwoScale(graph, 32, 2))
    model = mesh_only(graph, channels, target)
    assert abs(num_parameters(model) - target) < 0.02 * target
    assert len(model.blocks) > 2
    with pytest.raises(InputError, match=rf"--mesh-channels=160: .* {target} parameters"):
        mesh_only(graph, 160, target)


def test_receptive_fields(graph):
    """A vertex at the other pole hears nothing on the mesh, but through the coarse one it does."""
    distance = torch.cdist(graph["fine"].pos[:1], graph["fine"].pos)[0]
    x = torch.randn(1, len(distance), 2, requires_grad=True)
    reach = {}
    for model in (MeshOnly(graph, 16, 2, 16), TwoScale(graph, 16, 2)):
        # The statistics of GroupNorm reach everywhere: leave them out.
        for module in model.modules():
            if isinstance(module, sphere_models.GroupNorm):
                module.forward = lambda x, *_: x
        torch.nn.init.ones_(model.readout.hidden.bias)
        (grad,) = torch.autograd.grad(model(x)[0, 0], x)
        reach[type(model).__name__] = float(distance[grad[0].abs().sum(-1) > 0].max())
    edge = float((graph["fine"].pos[0] - graph["fine"].pos[1:]).norm(dim=1).min())
    assert reach["MeshOnly"] < 2.5 * edge
    assert reach["TwoScale"] > 1.5


def test_relative_error():
    predicted = torch.tensor([[3.0, 1.0, 5.0]])
    truth, distance = torch.tensor([[1.0, 1.0, 2.0]]), torch.tensor([[0.0, 1.0, 2.0]])
    samples = heat_flow.Samples(torch.zeros(1, 3, 2), truth, distance)
    error = sphere.relative_error
    assert error(predicted, samples, 0, 1) == pytest.approx(2)
    assert error(predicted, samples, 1, 3) == pytest.approx(3 / 5**0.5)


def test_run(run, monkeypatch, tmp_path):
    picture, results, seeds = tmp_path / "sphere.png", tmp_path / "new" / "sphere.json", []

    def draw(flow, fields, seed):
        seeds.append(tuple(seed))
        return draw_samples(flow, fields, seed)

    monkeypatch.setattr(sphere, "draw_samples", draw)
    status, printed, _ = run(
        *("--fine", 2, "--coarse", 0, "--channels", 16, "--blocks", 2, "--mesh-channels", 16),
        *("--fields", 3, "--steps", 2, "--batch-size", 2, "--seeds", 2, "--json", results),
        *("--plot", picture),
    )
    assert status == 0
    assert len(set(seeds)) == 4  # what is tested on is not trained on
    lines = re.findall(r"^seed (\d): (.*), (\d+) parameters, .* far \d\.\d{3}$", printed, re.M)
    assert [seed for seed, *_ in lines] == ["0", "0", "1", "1"]
    two_scale, mesh = (int(parameters) for *_, parameters in lines[:2])
    assert abs(mesh - two_scale) < 0.02 * two_scale
    assert re.search(
        r"two-scale below mesh only, \d+ blocks of 16: -?\d+ \(-?\d+ to -?\d+\) %", printed
    )
    written = json.loads(results.read_text())
    assert [(row["model"], row["seed"]) for row in written["results"]] == [
        (name, seed) for name in dict.fromkeys(row[1] for row in lines) for seed in (0, 1)
    ]
    assert all(len(row["curve"]) == 12 for row in written["results"])
    assert written["metadata"]["options"]["blocks"] == 2
    shades = np.asarray(Image.open(picture).convert("RGB"))
    assert shades.shape == (460, 1100, 3)
    assert len(np.unique(shades.reshape(-1, 3), axis=0)) > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--coarse", 3), "--coarse=3: not a coarser mesh. Give 0 to 2"),
        (("--channels", 24), "--channels=24: no multiple of 16"),
        (("--mesh-channels", 32, 40), "--mesh-channels=40: no multiple of 16"),
        (("--k", 43, "--fields", 1), "k=43: there are 42 nodes of levels['coarse']"),
        (("--mesh-channels", 320, "--fields", 1), "--mesh-channels=320: one block exceeds"),
    ],
)
def test_bad_input(run, monkeypatch, tmp_path, arguments, message):
    monkeypatch.setattr(sphere, "HELD_OUT_FIELDS", 1)
    monkeypatch.chdir(tmp_path)
    status, _, errors = run(*arguments)
    assert status == 2
    assert errors.startswith(f"error: {message}")
    assert errors.count("\n") == 1
