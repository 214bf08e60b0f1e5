"""Values on a mesh: their colours, where they land, and the sheet that they are laid out on."""

import numpy as np
import torch
from PIL import Image

from bilayer_graph.render import colour_bar, contact_sheet, draw_values, signed_colours
from bilayer_graph.render.sheets import INK, LINE, PAPER
from bilayer_graph.testing import assert_close, sphere_mesh

BLUE, GREY, RED = (
    torch.tensor(c) for c in ((0.13, 0.4, 0.8), (0.93, 0.92, 0.9), (0.85, 0.12, 0.14))
)
SIZE = 80


def test_colours():
    colours = signed_colours(torch.tensor([-7.0, -1.0, 0.0, 1.0, 7.0]))
    assert_close(colours, torch.stack([BLUE, BLUE, GREY, RED, RED]))
    halves = signed_colours(torch.tensor([[-0.5], [0.5]]))
    assert_close(halves, torch.stack([BLUE + GREY, RED + GREY]).unsqueeze(1) / 2)


def redness(picture):
    pixels = np.asarray(picture).astype(int)
    return pixels[..., 0] - pixels[..., 2]


def test_values_land_where_the_mesh_is_seen_from_the_front():
    vertices, faces = sphere_mesh(3)
    vertices = vertices + torch.tensor([5.0, 2.0, 1.0])
    x, y, z = (vertices - vertices.mean(0)).unbind(1)
    left, up, front, back = draw_values(vertices, faces, torch.stack([x, y, z, -z]) * 3, SIZE)
    half = SIZE // 2
    # The viewer's right is the body's left.
    assert redness(left)[half, 60] > 50 > -50 > redness(left)[half, 20]
    assert redness(up)[20, half] > 50 > -50 > redness(up)[60, half]
    assert redness(front)[half, half] > 50 > -50 > redness(back)[half, half]
    for picture in (left, front):
        assert picture.size == (SIZE, SIZE)
        assert picture.getpixel((0, 0)) == PAPER
        covered = (np.asarray(picture) != PAPER).any(-1)
        # The mesh fills the picture but for a margin.
        assert covered[half].sum() == covered[:, half].sum()
        assert 0.93 * SIZE < covered[half].sum() < 0.97 * SIZE


def test_marks_are_crosses():
    vertices, faces = sphere_mesh(2)
    values = torch.zeros(2, len(vertices))
    marks = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]]) * vertices.amax()
    middle, corner = draw_values(vertices, faces, values, SIZE, marks)
    plain = draw_values(vertices, faces, values, SIZE)[0]
    assert middle.getpixel((40, 40)) == INK != plain.getpixel((40, 40))
    assert corner.getpixel((59, 21)) == INK
    assert corner.getpixel((40, 40)) == plain.getpixel((40, 40))


def test_the_bar_names_its_colours():
    bar = colour_bar("heat", 0.25, 100)
    assert bar.size == (200, 2 * LINE)
    left, zero, right = (bar.getpixel((x, 2)) for x in (50, 100, 149))
    for pixel, colour in ((left, BLUE), (zero, GREY), (right, RED)):
        torch.testing.assert_close(torch.tensor(pixel) / 255, colour, atol=0.01, rtol=0)
    assert (np.asarray(bar)[LINE:] == INK).all(-1).any()


def test_a_sheet_of_pictures_titles_and_legend():
    colours = ("red", "lime", "blue")
    pictures = [Image.new("RGB", (30, 20), colour) for colour in colours]
    plain = contact_sheet(pictures, columns=2)
    assert plain.size == (60, 40)
    assert [plain.getpixel(spot) for spot in ((5, 5), (35, 5), (5, 25), (35, 25))] == [
        *((255, 0, 0), (0, 255, 0), (0, 0, 255)),
        PAPER,
    ]
    legend = [Image.new("RGB", (10, 8), "black")] * 2
    sheet = contact_sheet(pictures, 2, ["a", "b", "c"], legend)
    assert sheet.size == (60, 2 * (20 + LINE) + LINE + 8)
    assert sheet.getpixel((5, LINE)) == (255, 0, 0)
    assert sheet.getpixel((5, 20 + 2 * LINE)) == (0, 0, 255)
    assert sheet.getpixel((15, sheet.height - 1)) == (0, 0, 0) == sheet.getpixel((45, 90))
    titles = np.asarray(sheet)[: LINE - 1]
    assert (titles[:, 10:20] != PAPER).any()
    assert (titles[:, :5] == PAPER).all()
