"""The head waits for nothing on the host: it can be captured as a CUDA graph."""

import copy
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from bilayer_graph.body import BodyModel
from bilayer_graph.models import PAPER, SMALL
from bilayer_graph.models.readouts import PosedReadout
from bilayer_graph.models.variants import assemble_model

CONFIGS = {
    "paper": replace(PAPER, backbone="plain", image_size=64, num_vertices=431, num_blocks=2),
    "small": replace(SMALL, num_blocks=2),
}
STRIDES = 4, 8, 16, 32, 4
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class NothingFromTheHost(TorchDispatchMode):
    """Refuses tensors that are made on the host, each a copy that the device waits for."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        made = [
            each for each in (out if isinstance(out, tuple) else [out]) if torch.is_tensor(each)
        ]
        assert function != torch.ops.aten.lift_fresh.default, f"{function}: made on the host"
        assert not any(each.is_cpu for each in made), f"{function}: on the host"
        return out


@pytest.fixture
def fake_gpu():
    """Tensors without numbers on a GPU that is not there: to ask for one is an error."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with FakeTensorMode() as mode:
        yield mode
    torch.__future__.set_overwrite_module_params_on_conversion(False)


@cache
def model_of(name):
    return assemble_model(CONFIGS[name], BodyModel.load()).eval()


def head(model, device):
    """All between the image encoder and the regressor, with its inputs."""
    channels = model.encoder.channels
    side = model.image_size
    maps = [
        torch.rand(2, size, side // stride, side // stride, device=device)
        for size, stride in zip(channels, STRIDES, strict=False)
    ]
    pooled = torch.rand(2, model.encoder.pooled_channels, device=device)
    keypoints = torch.rand(2, model.joint_features.num_keypoints, 3, device=device)

    def run():
        x = model.forward_graphs(maps, pooled, keypoints)
        if isinstance(model.readout, PosedReadout):
            return model.readout.skeleton(x[0])[:3]
        return model.readout.skeleton_head(x[0]), model.readout.mesh_head(x[1])

    return run


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_comes_from_the_host_or_goes_there(name, fake_gpu):
    with unset_fake_temporarily():
        model = copy.deepcopy(model_of(name))
    model._apply(lambda tensor: fake_gpu.from_tensor(tensor).to("cuda"))
    run = head(model, "cuda")
    with torch.no_grad(), NothingFromTheHost():
        out = run()
    assert all(each.is_cuda for each in out)


@pytest.mark.parametrize(
    "copies",
    [lambda x: x.new_tensor([1.0, 2.0]), lambda x: x[[1, 0]], lambda x: x + x.cpu().sum()],
    ids=["numbers", "index", "sum"],
)
def test_the_watch_sees_what_comes_from_the_host(copies, fake_gpu):
    x = torch.zeros(2, device="cuda")
    with NothingFromTheHost(), pytest.raises(AssertionError, match="on the host"):
        copies(x)


@GPU
@pytest.mark.parametrize("name", CONFIGS)
def test_the_head_as_a_cuda_graph(name):
    run = head(copy.deepcopy(model_of(name)).cuda(), "cuda")
    with torch.no_grad():
        expected = [each.clone() for each in run()]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = run()
        graph.replay()
    for each, wanted in zip(out, expected, strict=True):
        torch.testing.assert_close(each, wanted)
