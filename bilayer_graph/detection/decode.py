"""From the heads' maps of MoveNet to joints: batched, without a loop over people or joints."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.detection.movenet import STRIDE

MAX_PEOPLE = 6
"""People that :func:`decode_people` returns of each picture."""

# Constants of the original, in half precision as it stores them.
_CENTRE_REACH = 1.7998046875
_SPREAD = 0.300048828125
_PEAK = 1.0132789611816406e-06
_COUNTED = 0.126953125


class People(NamedTuple):
    """What the network for several people finds, in pixels of its input, best centres first.

    Attributes:
        keypoints: ``[B, P, 17, 3]``: x, y, confidence.
        boxes: ``[B, P, 4]``: x0, y0, x1, y1.
        scores: ``[B, P]``: the centre's confidence times the mean of the joints that count.
    """

    keypoints: Tensor
    boxes: Tensor
    scores: Tensor


def decode_person(center: Tensor, heatmap: Tensor, regress: Tensor, offset: Tensor) -> Tensor:
    r"""Decode the joints of the person in the middle.

    The centre is the cell with the largest ``sigmoid(center) / (d + 1.8)``, ``d`` its distance to
    the middle cell. Joint ``k`` is the cell with the largest ``sigmoid(heatmap_k) / (d_k + 1.8)``,
    ``d_k`` its distance to the place that the centre's cell regresses, plus that cell's offset.

    Args:
        center: ``[B, 1, h, w]``.
        heatmap: ``[B, 17, h, w]``.
        regress: ``[B, 34, h, w]``: (y, x) of each joint from the cell, in cells.
        offset: ``[B, 34, h, w]``: (y, x) of each joint within its cell.

    Returns:
        ``[B, 17, 3]``: x, y in pixels of the input, confidence in [0, 1].
    """
    height, width = center.shape[-2:]
    rows = torch.arange(height, device=center.device, dtype=center.dtype)
    columns = torch.arange(width, device=center.device, dtype=center.dtype)
    # Rounded as the original stores its weights, so that near-ties of two cells fall alike.
    weight = 1 / (_distance(rows, columns, rows[height // 2], columns[width // 2]) + 1.8)
    weight = weight.half().to(center.dtype)
    peak = (center[:, 0].sigmoid() * weight).flatten(1).argmax(1, keepdim=True)
    y, x = (place[:, 0] for place in _regressed(regress, peak))
    heat = heatmap.sigmoid()
    weighted = heat / (_distance(rows, columns, y, x) + _CENTRE_REACH)
    cell = weighted.flatten(2).argmax(-1, keepdim=True)
    confidence = heat.flatten(2).gather(2, cell)
    return torch.cat([_refined(offset, cell).squeeze(2), confidence], dim=-1)


def decode_people(
    center: Tensor,
    heatmap: Tensor,
    regress: Tensor,
    offset: Tensor,
    box_size: Tensor,
    box_offset: Tensor,
) -> People:
    r"""Decode the joints of the six people with the best centres.

    Centres are the largest peaks of ``sigmoid(center)`` among 5 x 5 cells. Joint ``k`` of a person
    is the cell within its box with the largest
    ``sigmoid(heatmap_k) exp(-d_k^2 / (0.3 min(h, w)))``, ``d_k`` its distance to the place that
    the centre's cell regresses, plus that cell's offset. The joint's confidence is the largest
    such value of the cell over the people; confidences up to 0.127 do not count for the score.

    Args:
        center: ``[B, 1, h, w]``, at the least 6 cells.
        heatmap: ``[B, 17, h, w]``.
        regress: ``[B, 34, h, w]``: (y, x) of each joint from the cell, in cells.
        offset: ``[B, 34, h, w]``: (y, x) of each joint within its cell.
        box_size: ``[B, 2, h, w]``: height and width of the person's box, in cells.
        box_offset: ``[B, 2, h, w]``: (y, x) of the box's centre from the cell.

    Returns:
        The people, those without a peak of their own with score 0.
    """
    height, width = center.shape[-2:]
    rows = torch.arange(height, device=center.device, dtype=center.dtype)
    columns = torch.arange(width, device=center.device, dtype=center.dtype)
    heat = center.sigmoid()
    is_peak = (heat - F.max_pool2d(heat, 5, 1, 2)).abs() < _PEAK
    centre, peak = (heat * is_peak).flatten(1).topk(MAX_PEOPLE)
    top, left, bottom, right = _box(box_size, box_offset, peak)
    y, x = _regressed(regress, peak)
    spread = _SPREAD * min(height, width)
    # The weight is one function of the row times one of the column.
    by_row = _near(rows, y, top, bottom, spread)
    by_column = _near(columns, x, left, right, spread)
    weighted = heatmap.sigmoid()[:, None] * by_row[..., None] * by_column[..., None, :]
    weighted = weighted.transpose(1, 2).flatten(3)
    cell = weighted.argmax(-1)
    confidence = weighted.amax(2).gather(2, cell)
    joints = torch.cat([_refined(offset, cell), confidence[..., None]], dim=-1).transpose(1, 2)
    counted = joints[..., 2] * (joints[..., 2] > _COUNTED)
    mean = counted.sum(-1) / (counted > 0).sum(-1).clamp(min=1)
    boxes = STRIDE * torch.stack([left, top, right, bottom], dim=-1)
    return People(joints, boxes, centre * mean)


def _distance(rows: Tensor, columns: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return the distance of each cell to places: ``[...]`` to ``[..., h, w]``."""
    down = (rows - y[..., None]).square()
    across = (columns - x[..., None]).square()
    return (down[..., None] + across[..., None, :]).sqrt()


def _near(cells: Tensor, place: Tensor, low: Tensor, high: Tensor, spread: float) -> Tensor:
    """Weigh rows or columns ``[n]`` for joints ``[B, P, 17]`` in boxes ``[B, P]``."""
    weight = torch.exp(-(cells - place[..., None]).square() / spread)
    inside = (cells >= low[..., None]) & (cells < high[..., None])
    return weight * inside[:, :, None]


def _at(maps: Tensor, cell: Tensor) -> Tensor:
    """Return values ``[B, C, P]`` of maps ``[B, C, h, w]`` at cells ``[B, P]``."""
    return maps.flatten(2).gather(2, cell[:, None].expand(-1, maps.shape[1], -1))


def _row_column(cell: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return row and column of cells counted row by row."""
    row = torch.div(cell, width, rounding_mode="floor")
    # Not the remainder: ONNX has none by a width that may change.
    return row, cell - width * row


def _regressed(regress: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and column ``[B, P, 17]`` of the joints that centres ``[B, P]`` regress."""
    row, column = _row_column(peak, regress.shape[-1])
    places = _at(regress, peak).unflatten(1, (-1, 2))
    y = row[:, None] + places[:, :, 0]
    x = column[:, None] + places[:, :, 1]
    return y.transpose(1, 2), x.transpose(1, 2)


def _refined(offset: Tensor, cell: Tensor) -> Tensor:
    """Return points (x, y) ``[B, 17, P, 2]`` in pixels of the joints in cells ``[B, 17, P]``."""
    row, column = _row_column(cell, offset.shape[-1])
    maps = offset.flatten(2).unflatten(1, (-1, 2))
    within = maps.gather(3, cell[:, :, None].expand(-1, -1, 2, -1))
    y, x = row + within[:, :, 0], column + within[:, :, 1]
    return STRIDE * torch.stack([x, y], dim=-1)


def _box(size: Tensor, offset: Tensor, peak: Tensor) -> tuple[Tensor, ...]:
    """Return top, left, bottom, right ``[B, P]`` of the boxes of centres ``[B, P]``, in cells."""
    height, width = size.shape[-2:]
    half = _at(size, peak).clamp(min=0) / 2
    within = _at(offset, peak)
    row, column = _row_column(peak, width)
    y, x = row + within[:, 0], column + within[:, 1]
    top, bottom = ((y + sign * half[:, 0]).clamp(0, height) for sign in (-1, 1))
    left, right = ((x + sign * half[:, 1]).clamp(0, width) for sign in (-1, 1))
    return top, left, bottom, right
