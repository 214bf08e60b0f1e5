import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.training.finite import check_finite
from bilayer_graph.training.sampler import FreshSamples


def test_epochs_share_no_sample():
    sampler = FreshSamples(5)
    assert len(sampler) == 5
    seen = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        seen += list(sampler)
    assert seen == list(range(15))


@pytest.mark.parametrize("devices", [2, 3])
def test_devices_see_samples_of_their_own_and_as_many_as_one_alone(devices):
    samplers = [FreshSamples(5, rank, devices) for rank in range(devices)]
    seen = []
    for epoch in range(3):
        for sampler in samplers:
            sampler.set_epoch(epoch)
            assert len(list(sampler)) == len(sampler) == 5
            seen += list(sampler)
    assert sorted(seen) == list(range(15 * devices))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite(value):
    with pytest.raises(InputError, match=rf"^gradient={value:g}: not finite in batch 17\b.*--lr"):
        check_finite("gradient", torch.tensor(value), 17)


def test_a_finite_value_is_returned():
    value = torch.tensor(3.0, requires_grad=True)
    assert check_finite("loss", value, 0) is value
