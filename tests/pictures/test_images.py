import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from bilayer_graph.errors import InputError
from bilayer_graph.pictures.images import crop_image, list_images, read_image
from bilayer_graph.pictures.keypoints import to_crop


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def refused(path, *parts):
    with pytest.raises(InputError) as error:
        read_image(path)
    for part in ("image=", str(path), "Give", *parts):
        assert part in str(error.value)


def test_png_is_read_as_it_is(tmp_path):
    pixels = noise(7, 5)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), pixels)
    np.testing.assert_array_equal(np.asarray(read_image(str(tmp_path / "a.png"))), pixels)


# How a stored picture is turned to stand upright, by the EXIF standard's table.
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path, orientation):
    pixels = noise(7, 5)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        np.asarray(read_image(tmp_path / "a.png")), UPRIGHT[orientation](pixels)
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA", "I;16", "I"])
def test_modes(tmp_path, mode):
    grey = noise(6, 4)[..., 0]
    expected = np.stack([grey] * 3, axis=-1)
    if mode == "1":
        expected = np.where(expected > 127, 255, 0)
        image = Image.fromarray(grey > 127)
    elif mode in ("I;16", "I"):
        image = Image.fromarray(grey.astype(np.uint16) * 257)
        image = image.convert("I") if mode == "I" else image
    elif mode == "CMYK":
        image = Image.fromarray(expected).convert("CMYK")
    else:
        image = Image.fromarray(grey).convert(mode)
    assert image.mode == mode
    path = tmp_path / ("a.tiff" if mode in ("CMYK", "I") else "a.png")
    image.save(path)
    read = read_image(path)
    assert read.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(read), expected)


def test_dark_16_bit_grey_stays_dark(tmp_path):
    Image.fromarray(np.full((3, 3), 200, dtype=np.uint16)).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png")).max() == 0


def test_transparent_pixels_are_white(tmp_path):
    pixels = np.concatenate([noise(2, 1), np.zeros((1, 2, 1), np.uint8)], axis=-1)
    pixels[0, 1] = [200, 100, 0, 255]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png")).tolist() == [[[255] * 3, [200, 100, 0]]]


def test_transparent_palette(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.gif", transparency=0)
    assert np.asarray(read_image(tmp_path / "a.gif")).tolist() == [[[255] * 3, [40, 50, 60]]]


def test_not_there(tmp_path):
    refused(tmp_path / "missing.png", "no such file")
    refused(tmp_path, "folder")


@pytest.mark.parametrize("content", [b"", b"just text", b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_not_an_image(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    refused(tmp_path / "a.png", "not a readable picture")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff", "gif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated(tmp_path, suffix, share):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(64, 64)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, "not a readable picture")


def png(width, height):
    """A PNG that claims a size and has no pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (60_000, 60_000)])
def test_no_pixels_and_far_too_many(tmp_path, size):
    (tmp_path / "a.png").write_bytes(png(*size))
    refused(tmp_path / "a.png", "not a readable picture")


def test_floating_point_picture(tmp_path):
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "a.tiff")
    refused(tmp_path / "a.tiff", "floating-point")


def test_list_images(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.webp", ".hidden.png", "notes.txt", "b.json"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.webp"]


def test_list_images_of_nothing(tmp_path):
    for folder, problem in ((tmp_path, "no picture"), (tmp_path / "no", "no such folder")):
        with pytest.raises(InputError, match=problem) as error:
            list_images(folder)
        assert str(folder) in str(error.value)


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
