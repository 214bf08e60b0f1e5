"""Contact sheets: pictures of one size in rows and columns, with titles."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

PAPER, INK = (250, 250, 250), (40, 40, 40)
LINE = 16
"""Height of a line of text in pixels."""


def contact_sheet(
    pictures: Sequence[Image.Image],
    columns: int,
    titles: Sequence[str] | None = None,
    legend: Sequence[Image.Image] = (),
) -> Image.Image:
    """Lay out pictures on a sheet of paper, row by row.

    Args:
        pictures: Pictures of one size; the last row may be shorter.
        columns: Pictures in a row.
        titles: What stands above each picture; nothing if ``None``.
        legend: Pictures side by side below the rows, such as
            :func:`~bilayer_graph.render.colour_bar` draws.
    """
    width, height = pictures[0].size
    line = 0 if titles is None else LINE
    step, rows = height + line, -(-len(pictures) // columns)
    below = LINE + legend[0].height if legend else 0
    sheet = Image.new("RGB", (columns * width, rows * step + below), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, picture in enumerate(pictures):
        left, top = place % columns * width, place // columns * step
        sheet.paste(picture, (left, top + line))
        if titles is not None:
            pen.text((left + width / 2, top), titles[place], INK, font, "ma")
    for place, picture in enumerate(legend):
        left = round((place + 0.5) * sheet.width / len(legend)) - picture.width // 2
        sheet.paste(picture, (left, sheet.height - picture.height))
    return sheet
