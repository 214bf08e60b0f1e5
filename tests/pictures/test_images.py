import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from bilayer_graph.errors import InputError, one_line
from bilayer_graph.pictures import read_image


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def refused(path, *parts):
    with pytest.raises(InputError) as error:
        read_image(path)
    for part in ("image=", one_line(path), "Give", *parts):
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


def tags(*entries):
    """EXIF with raw entries: tag, type, count, and the four bytes of its value or place."""
    packed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("kind", "count", "value", "turned"),
    [
        (3, 1, b"\6\0\0\0", True),
        (4, 1, b"\6\0\0\0", True),  # a number of four bytes
        (3, 1, b"\0\0\0\0", False),
        (3, 1, b"\x09\0\0\0", False),
        (3, 1, b"\xff\xff\0\0", False),
        (3, 2, b"\6\0\1\0", True),  # two orientations: the first
        (2, 2, b"6\0\0\0", False),  # a text
        (5, 1, b"\xff\xff\xff\0", False),  # a fraction that lies outside of the file
        (77, 1, b"\6\0\0\0", False),  # a type that there is not
        (3, 1 << 30, b"\6\0\0\0", False),
    ],
)
def test_odd_orientations(tmp_path, kind, count, value, turned):
    exif = tags((274, kind, count, value))
    Image.fromarray(noise(16, 8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == ((8, 16) if turned else (16, 8))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "exif", [b"", b"Exif", b"junk" * 9, b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40]
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_broken_exif(tmp_path, exif, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(16, 8)).save(path, exif=b"Exif\0\0" + exif)
    assert read_image(path).size == (16, 8)


def test_a_broken_tag_does_not_hide_the_orientation(tmp_path):
    far = b"\xff\xff\xff\0"
    exif = tags((274, 3, 1, b"\6\0\0\0"), (0x8769, 4, 1, far), (0x9286, 7, 10**6, far))
    Image.fromarray(noise(16, 8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (8, 16)


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


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_16_bit_png(tmp_path, colour):
    """Colour, grey with transparency and colour with it: the upper byte counts."""
    pixels = np.random.default_rng(0).integers(0, 65536, (4, 6, {2: 3, 4: 2, 6: 4}[colour]))
    if colour != 2:
        pixels[..., -1] = 65535
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    (tmp_path / "a.png").write_bytes(png(6, 4, 16, colour, zlib.compress(rows)))
    seen = np.broadcast_to(pixels[..., : 1 if colour == 4 else 3], (4, 6, 3))
    np.testing.assert_allclose(np.asarray(read_image(tmp_path / "a.png")), seen / 257, atol=1)


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


def png(width, height, bits=8, colour=2, pixels=b""):
    """A PNG that claims a size; without pixels, if none are given."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_no_pixels(tmp_path, size):
    (tmp_path / "a.png").write_bytes(png(*size))
    refused(tmp_path / "a.png", "not a readable picture")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(60_000, 60_000), (20_000, 10_000), (13_000, 13_000)])
def test_too_many_pixels(tmp_path, size):
    (tmp_path / "a.png").write_bytes(png(*size))
    refused(tmp_path / "a.png", "too large a picture", "134 million pixels")


@pytest.mark.filterwarnings("error")
def test_a_hundred_megapixels_are_decoded(tmp_path):
    (tmp_path / "a.png").write_bytes(png(12_000, 9_000))
    refused(tmp_path / "a.png", "not a readable picture")  # the pixels are missing


def test_floating_point_picture(tmp_path):
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "a.tiff")
    refused(tmp_path / "a.tiff", "floating-point")


def frames(path, **options):
    """Write three frames or pages: red, blue, green."""
    first, *more = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green"))
    first.save(path, save_all=True, append_images=more, **options)
    return path


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "avif", "tiff"])
def test_the_first_frame_of_an_animation(tmp_path, suffix):
    path = frames(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    with pytest.warns(UserWarning, match=rf"a\.{suffix}: several pictures in one; the first"):
        image = read_image(path)
    np.testing.assert_allclose(np.asarray(image)[4, 4], [255, 0, 0], atol=3)


def test_a_picture_and_its_depth_are_one(tmp_path):
    """Telephones store a second picture in a JPEG; nothing is to be said of it."""
    assert read_image(frames(tmp_path / "a.jpg", format="MPO")).size == (8, 8)


def test_a_broken_second_frame_costs_nothing(tmp_path):
    path = frames(tmp_path / "a.gif")
    whole = path.read_bytes()
    second = whole.index(b"\x21\xf9", whole.index(b"\x2c", 40))
    path.write_bytes(whole[: second + 4])
    with pytest.warns(UserWarning, match="the first is taken"):
        assert np.asarray(read_image(path))[4, 4].tolist() == [255, 0, 0]


def test_a_place_of_a_second_page_outside_of_the_file(tmp_path):
    path = tmp_path / "a.tiff"
    Image.fromarray(noise(7, 5)).save(path)
    whole = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", whole, 4)[0]
    after = start + 2 + 12 * struct.unpack_from("<H", whole, start)[0]
    struct.pack_into("<I", whole, after, 2**31)
    path.write_bytes(whole)
    with pytest.warns(UserWarning, match="the first is taken"):
        np.testing.assert_array_equal(np.asarray(read_image(path)), noise(7, 5))


@pytest.mark.parametrize("suffix", ["png", "jpg", "txt", "json"])
def test_the_content_decides_not_the_suffix(tmp_path, suffix):
    Image.fromarray(noise(7, 5)).save(tmp_path / "a.webp")
    (tmp_path / "a.webp").rename(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}").size == (7, 5)


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert np.asarray(read_image(tmp_path / "a.jpg"))[4, 4, 0] > 200
    assert np.asarray(read_image(tmp_path / "a.jpg"))[4, 4, 1:].max() < 60


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "an empty file"), (b"\0\0\0\x18ftypheic" + bytes(99), "no format that is read here")],
)
def test_files_to_convert(tmp_path, content, why):
    (tmp_path / "a.heic").write_bytes(content)
    refused(tmp_path / "a.heic", f"({why})", "convert HEIC")


def test_camera_raw_is_not_its_thumbnail(tmp_path):
    tags = ImageFileDirectory_v2()
    tags[254] = 1
    Image.fromarray(noise(7, 5)).save(tmp_path / "a.dng", format="TIFF", tiffinfo=tags)
    refused(tmp_path / "a.dng", "thumbnail of a camera's raw file")


@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (60_000, 1)])
def test_one_pixel_wide(tmp_path, size):
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").size == size


def test_a_drawing_is_not_run(tmp_path):
    Image.fromarray(noise(7, 5)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    refused(tmp_path / "a.png", "EPS is a drawing")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b.png", "no/folder.png"])
def test_names_that_cannot_be(tmp_path, name):
    refused(tmp_path / name, "no such file")


def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    refused(tmp_path / "a.png", "no such file")
