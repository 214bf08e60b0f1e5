"""The network with known edges is what its docstring says."""

import pytest
import torch

from bilayer_graph.testing.hidden_drivers import NEAR, HiddenDrivers


@pytest.fixture
def network():
    torch.manual_seed(0)
    return HiddenDrivers(6, 30)


def test_the_hidden_mixture():
    torch.manual_seed(0)
    truth = HiddenDrivers(40, 600).truth
    assert truth.shape == (600, 40)
    torch.testing.assert_close(truth.sum(1), torch.ones(600))
    drivers = (truth > 0).sum(1).bincount() / 600
    assert len(drivers) == 4
    assert drivers[0] == 0
    # One to three with equal chances; now and then two draws of a node are the same.
    torch.testing.assert_close(drivers[1:], torch.full((3,), 1 / 3), atol=0.12, rtol=0)


def test_measurements_are_the_mixture(network):
    """Regression on the forces and on the neighbours' mean finds the mixture again."""
    graphs = network.measure(200, noise=0.0)
    a, b, c = torch.stack([graph["coarse"].x for graph in graphs])[..., :3].unbind(-1)
    force = (a * b).tanh() + c.sin()
    own = torch.stack([graph["fine"].x[:, 0] for graph in graphs])
    source, target = network.graph[NEAR].edge_index
    felt = torch.stack([own[:, source[target == node]].mean(1) for node in range(30)], dim=1)
    y = torch.stack([graph["fine"].y for graph in graphs])
    found = torch.linalg.lstsq(force, y - felt).solution.t()
    torch.testing.assert_close(found, network.truth, atol=1e-4, rtol=0)
    noisy = network.measure(200, noise=2.0)
    noise = torch.stack([graph["fine"].y - graph["fine"].signal for graph in noisy])
    assert float(noise.std()) == pytest.approx(2, abs=0.1)
