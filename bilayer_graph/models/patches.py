"""What a feature map shows in a box around a point."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bilayer_graph.ops.library import needs_plain_torch


def sample_patches(x: Tensor, centre: Tensor, side: Tensor) -> Tensor:
    r"""Return the mean of a feature map in square boxes: RoIAlign with one bin of 2 x 2 samples.

    Each sample is bilinear in the four pixels around it, zero more than a pixel outside the map.
    Pixels are gathered from their place in a map whose channels are last in memory, as those of
    the image encoder; :func:`torchvision.ops.roi_align` would copy the whole map first.

    Args:
        x: Feature maps, shape ``[B, C, H, W]``.
        centre: Centres of the boxes in crop coordinates [-1, 1], shape ``[B, J, 2]``.
        side: Sides of the boxes in crop coordinates, shape ``[B]``.

    Returns:
        Shape ``[B, J, C]``, float32 (or float64).

    Source: He et al., "Mask R-CNN", 2017.
    """
    batch, joints, _ = centre.shape
    height, width = x.shape[-2:]
    # Half precision would be off by whole pixels.
    dtype = torch.promote_types(torch.promote_types(x.dtype, centre.dtype), torch.float32)
    centre, side = centre.to(dtype), side.to(dtype)
    quarter = side.view(batch, 1, 1) / 4
    samples = torch.stack([centre - quarter, centre + quarter], dim=-1)
    column, weight_x = _bilinear(samples[..., 0, :], width)
    row, weight_y = _bilinear(samples[..., 1, :], height)
    pixel = row.unsqueeze(3) * width + column.unsqueeze(2)
    weight = weight_y.unsqueeze(3) * weight_x.unsqueeze(2) / 4
    image = torch.arange(batch, device=x.device).view(batch, 1, 1, 1)
    index = (image * (height * width) + pixel).view(batch * joints, 16)
    rows = x.permute(0, 2, 3, 1).flatten(0, 2).to(dtype)
    weight = weight.view(batch * joints, 16)
    if needs_plain_torch():
        patches = weight.unsqueeze(1) @ rows[index]
    else:
        patches = F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)
    return patches.view(batch, joints, x.size(1))


def _bilinear(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the pixels ``[B, J, 4]`` of samples ``[B, J, 2]`` on one axis, and their weights."""
    position = (position + 1) / 2 * size - 0.5
    inside = (position >= -1) & (position <= size)
    position = torch.where(inside, position, 0).clamp(0, size - 1)
    low = position.floor()
    share = position - low
    pixels = torch.stack([low, (low + 1).clamp(max=size - 1)], dim=-1)
    weights = torch.stack([1 - share, share], dim=-1) * inside.unsqueeze(-1)
    return pixels.long().flatten(2), weights.flatten(2)
