import pytest
import torch

from bilayer_graph.nn import Linear
from bilayer_graph.testing import assert_close, sample_features


@pytest.mark.parametrize("bias", [True, False])
def test_starts_and_computes_as_the_layer_of_torch(bias):
    layers = []
    for layer in (Linear, torch.nn.Linear):
        torch.manual_seed(0)
        layers.append(layer(24, 17, bias=bias))
    ours, theirs = layers
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for actual, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(actual, expected)
    x = sample_features(2, 13, 24)
    assert_close(ours(x), theirs(x))


def test_sizes_from_the_first_input():
    layer = Linear(-1, 17, bias=False, weight_initializer="glorot")
    assert layer(sample_features(2, 13, 24)).shape == (2, 13, 17)
    assert layer.weight.shape == (17, 24)
