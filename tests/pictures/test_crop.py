import numpy as np
import pytest
import torch
from PIL import Image

from bilayer_graph.errors import InputError
from bilayer_graph.pictures import crop_image, to_crop


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_whole_picture_at_its_own_size():
    pixels = noise(32, 32)
    crop = crop_image(Image.fromarray(pixels), torch.tensor([16.0, 16.0]), 32, 32)
    assert crop.dtype == torch.float32
    assert crop.shape == (3, 32, 32)
    assert (crop * 255).round().byte().permute(1, 2, 0).tolist() == pixels.tolist()


def test_outside_of_the_picture_is_black():
    image = Image.new("RGB", (20, 10), "white")
    crop = crop_image(image, torch.tensor([0.0, 5.0]), 20.0, 20)
    expected = torch.zeros(3, 20, 20)
    expected[:, 5:15, 10:] = 1
    torch.testing.assert_close(crop, expected)


def direct_crop(pixels, centre, side, size):
    """The crop by its definition in float64: a triangle as wide as a crop pixel, at least 1."""
    step = side / size
    width = max(step, 1)
    weights = []
    for middle, length in zip(centre, pixels.shape[1::-1], strict=True):
        at = middle - side / 2 + (np.arange(size) + 0.5) * step
        sources = np.arange(-200, length + 200) + 0.5
        weight = (1 - abs(at[:, None] - sources) / width).clip(0)
        weight /= weight.sum(1, keepdims=True)
        weights.append(weight[:, 200:-200])
    return np.einsum("xw,yh,hwc->cyx", *weights, pixels / 255)


@pytest.mark.parametrize(
    ("centre", "side", "size"),
    [((30.3, 25.8), 20.7, 32), ((30.0, 25.0), 55.5, 32), ((3.2, 47.1), 60.1, 16), ((9, 9), 30, 30)],
)
def test_crop_agrees_with_its_definition(centre, side, size):
    pixels = noise(60, 50)
    crop = crop_image(Image.fromarray(pixels), torch.tensor(centre), side, size)
    expected = direct_crop(pixels, centre, side, size)
    assert np.abs(crop.numpy() - expected).max() < 1.5 / 255


@pytest.mark.parametrize("seed", range(60))
def test_markers_land_where_to_crop_says(seed):
    """The centre of mass of a marker's pixels in the crop is its place, enlarged or shrunk."""
    random = np.random.default_rng(seed)
    width, height, size = *random.integers(40, 400, 2), 64
    column, row = random.integers(8, width - 8), random.integers(8, height - 8)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[row - 4 : row + 5, column - 4 : column + 5] = 255
    marker = torch.tensor([[column + 0.5, row + 0.5]], dtype=torch.float64)
    side = torch.tensor(random.uniform(30, 1200), dtype=torch.float64)
    # The marker stays inside the crop by 6 of its pixels and 6 pixels of the crop.
    free = max(0.0, float(side) * (0.5 - 6 / size) - 6)
    centre = marker[0] + torch.from_numpy(random.uniform(-free, free, 2))
    mass = crop_image(Image.fromarray(pixels), centre, side, size)[0].double()
    middles = (torch.arange(size) + 0.5) * 2 / size - 1
    found = torch.stack([(mass.sum(d) * middles).sum() for d in (0, 1)]) / mass.sum()
    off_in_crop_pixels = (found - to_crop(marker, centre, side)[0]).abs().max() * size / 2
    assert off_in_crop_pixels < 0.1


def test_shrinking_does_not_alias():
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = crop_image(Image.fromarray(stripes), torch.tensor([300.0, 300.0]), 500, 60)
    assert (crop - 0.5).abs().max() < 0.02


def test_a_box_far_larger_than_the_picture():
    image = Image.new("RGB", (300, 300), "white")
    crop = crop_image(image, torch.tensor([150.0, 150.0]), 29_000.0, 224)
    assert crop.sum() / 3 == pytest.approx((300 * 224 / 29_000) ** 2, rel=0.2)
    assert crop[:, 112, 112].min() > 0.5


@pytest.mark.parametrize(
    ("centre", "side"),
    [
        ((10.0, 10.0), 0.0),
        ((10.0, 10.0), -5.0),
        ((10.0, 10.0), float("nan")),
        ((10.0, float("inf")), 5.0),
        ((500.0, 10.0), 50.0),
        ((10.0, -30.0), 50.0),
        ((1e30, 10.0), 50.0),
        ((10.0, 10.0), 1e30),
    ],
)
def test_no_crop(centre, side):
    with pytest.raises(InputError, match=r"keypoints=box of .* Give keypoints in pixels"):
        crop_image(Image.new("RGB", (20, 20)), torch.tensor(centre), side)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_a_picture_one_pixel_wide(size):
    image = Image.new("RGB", size, "white")
    centre = torch.tensor([size[0] / 2, size[1] / 2])
    crop = crop_image(image, centre, 50.0, 50)
    area = min(size[0], 50) * min(size[1], 50)
    assert crop[0].sum() == pytest.approx(area, rel=0.05)
    assert crop_image(image, centre, 99.0, 8).shape == (3, 8, 8)
