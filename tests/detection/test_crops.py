import pytest
import torch

from bilayer_graph.detection.crops import crop_square, fit, input_size


def spot(height, width, x, y):
    """A black picture with one bright pixel."""
    image = torch.zeros(3, height, width)
    image[:, y, x] = 1
    return image


def brightest(pixels):
    """Centre of mass of the bright spot, x and y."""
    mass = pixels[0]
    y, x = torch.meshgrid(*(torch.arange(n) + 0.5 for n in mass.shape), indexing="ij")
    return torch.stack([(mass * x).sum(), (mass * y).sum()]) / mass.sum()


@pytest.mark.parametrize(("height", "width"), [(100, 37), (640, 480), (33, 256), (256, 256)])
@pytest.mark.parametrize("side", [64, 256])
def test_fit(height, width, side):
    image = spot(height, width, width // 3, height // 2)
    crop = fit(image, side)
    assert tuple(crop.pixels.shape[1:]) == input_size(image, side)
    assert all(n % 32 == 0 and 32 <= n <= side for n in crop.pixels.shape[1:])
    assert max(crop.pixels.shape[1:]) == side
    place = crop.to_picture(brightest(crop.pixels))
    expected = torch.tensor([width // 3 + 0.5, height // 2 + 0.5])
    torch.testing.assert_close(place, expected, atol=0.1, rtol=0)


@pytest.mark.parametrize("box", [(10.3, 20.6, 60.2, 50.9), (-30, -10, 40, 95), (50, 30, 200, 60)])
def test_square(box):
    image = spot(100, 80, 32, 40)
    image[:, 50, 70] = 1
    inside = torch.tensor([70.5 if box[0] > 40 else 32.5, 50.5 if box[0] > 40 else 40.5])
    image[:, 40, 32] = float(box[0] <= 40)
    image[:, 50, 70] = float(box[0] > 40)
    crop = crop_square(image, torch.tensor(box), 256)
    assert crop.pixels.shape == (3, 256, 256)
    torch.testing.assert_close(crop.to_picture(brightest(crop.pixels)), inside, atol=0.1, rtol=0)
    corner = crop.to_picture(torch.tensor([256.0, 256.0]))
    assert crop.origin[0] <= box[0] + 1
    assert bool((corner >= torch.tensor(box[2:]) - 1).all())


def test_square_outside_is_black():
    crop = crop_square(torch.ones(3, 10, 10), torch.tensor([5.0, 5.0, 15.0, 15.0]), 64)
    assert float(crop.pixels[:, :28, :28].min()) == 1
    assert float(crop.pixels[:, 36:].max()) == 0
    beside = crop_square(torch.ones(3, 10, 10), torch.tensor([30.0, 30.0, 40.0, 40.0]), 64)
    assert float(beside.pixels.max()) == 0


def test_confidence_stays():
    crop = fit(torch.rand(3, 50, 100), 64)
    keypoints = torch.tensor([[32.0, 16.0, 0.7]])
    expected = torch.tensor([[50.0, 25.0, 0.7]])
    torch.testing.assert_close(crop.to_picture(keypoints), expected)
