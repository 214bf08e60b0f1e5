import pytest
import torch
from torchvision.ops import roi_align

from bilayer_graph.models.patches import sample_patches
from bilayer_graph.testing import assert_close, sample_features


def problem(size=9, batch=3, points=40, dtype=torch.float32):
    """Boxes of many sizes, inside the map, across its border and outside."""
    x = sample_features(batch, 5, size, size, seed=1).to(dtype)
    centre = 1.2 * sample_features(batch, points, 2, seed=2)
    side = sample_features(batch, seed=3).exp()
    return x, centre, side


def with_roi_align(x, centre, side):
    half = side.view(-1, 1, 1) / 2
    corners = torch.cat([centre - half, centre + half], dim=2) / 2 + 0.5
    args = {"output_size": 1, "spatial_scale": x.size(-1), "sampling_ratio": 2, "aligned": True}
    patches = roi_align(x, list(corners), **args)
    return patches.view(*centre.shape[:2], x.size(1))


@pytest.mark.parametrize("size", [1, 2, 7, 32])
def test_equals_roi_align(size, device):
    x, centre, side = problem(size)
    # At the corners of the map too, where the last pixel has no neighbour.
    centre[:, :4] = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    out = sample_patches(x.to(device), centre.to(device), side.to(device))
    assert_close(out, with_roi_align(x, centre, side))
    assert (out == 0).any()
    assert (out != 0).any()


def test_gradients_equal_those_of_roi_align(device):
    x, centre, side = problem()
    leaves = [x.clone().requires_grad_(), x.to(device).requires_grad_()]
    upstream = sample_features(3, 40, 5, seed=4)
    (wanted,) = torch.autograd.grad(with_roi_align(leaves[0], centre, side), leaves[0], upstream)
    out = sample_patches(leaves[1], centre.to(device), side.to(device))
    assert_close(torch.autograd.grad(out, leaves[1], upstream.to(device))[0], wanted)


def test_a_map_that_is_not_square():
    x = torch.arange(8.0).expand(1, 1, 4, 8)
    out = sample_patches(x, torch.tensor([[[0.25, 0.0]]]), torch.tensor([0.2]))
    assert_close(out, torch.tensor([[[(0.25 + 1) / 2 * 8 - 0.5]]]))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_a_box_that_is_nowhere_shows_nothing(value):
    x, centre, side = problem()
    centre[1] = value
    assert (sample_patches(x, centre, side)[1] == 0).all()


def test_an_empty_batch():
    x, centre, side = problem()
    assert sample_patches(x[:0], centre[:0], side[:0]).shape == (0, 40, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_any_memory_layout(dtype):
    x, centre, side = problem(dtype=dtype)
    out = sample_patches(x.contiguous(memory_format=torch.channels_last), centre, side)
    assert out.dtype == torch.float32
    assert_close(out, sample_patches(x, centre, side))
    assert_close(out, with_roi_align(x.float(), centre, side))


def test_double_precision():
    x, centre, side = (tensor.double() for tensor in problem())
    out = sample_patches(x, centre, side)
    assert out.dtype == torch.float64
    assert_close(out, with_roi_align(x, centre, side))


def test_compiles_to_one_graph(device):
    x, centre, side = (tensor.to(device) for tensor in problem())
    compiled = torch.compile(sample_patches, fullgraph=True)
    assert_close(compiled(x, centre, side), sample_patches(x, centre, side))
