"""Looks at turned pictures: the networks know upright people best."""

import torch
from torch import Tensor

TURNS = (1, 2, 3)
"""Quarter turns of the further looks."""

# Looks agree about a joint within so much of the person's longer side.
_AGREE = 0.04


def turned(pixels: Tensor, quarters: int) -> Tensor:
    """Turn pictures ``[..., H, W]`` counter-clockwise by quarters."""
    return torch.rot90(pixels, quarters, (-2, -1)).contiguous()


def turned_back(points: Tensor, quarters: int, height: float, width: float) -> Tensor:
    """Return points of a turned picture in pixels of the picture.

    Args:
        points: ``[..., 2]`` x, y, or keypoints ``[..., 3]``.
        quarters: By how many quarters :func:`turned` turned the picture.
        height: Of the picture before, in pixels.
        width: The same.
    """
    x, y, rest = points[..., 0], points[..., 1], points[..., 2:]
    sides = [(x, y), (width - y, x), (width - x, height - y), (y, height - x)]
    return torch.cat([torch.stack(sides[quarters % 4], dim=-1), rest], dim=-1)


def consensus(looks: Tensor) -> Tensor:
    r"""Return the keypoints on which several looks at a person agree.

    Look :math:`l` has the weight :math:`w_{lk} = s_{lk} (\bar s_l / \max \bar s)^2` for joint
    :math:`k`, :math:`s` its confidence and :math:`\bar s_l` the mean of them. Each place gets
    :math:`\sum_m w_{mk} \exp(-d_{lm}^2 / 2 \sigma^2)` votes, and the result is the mean of the
    looks near the best one, weighted alike; :math:`\sigma` is 0.04 of the person's longer side.

    Args:
        looks: Keypoints ``[L, 17, 3]``: x, y, confidence.

    Returns:
        ``[17, 3]``.
    """
    points, scores = looks[..., :2], looks[..., 2]
    mean = scores.mean(1)
    best = points[mean.argmax()]
    spread = _AGREE * (best.amax(0) - best.amin(0)).max().clamp(min=1e-6)
    weight = scores * (mean / mean.max().clamp(min=1e-6)).square().unsqueeze(1)
    apart = (points.unsqueeze(1) - points.unsqueeze(0)).norm(dim=-1) / spread
    votes = weight.unsqueeze(0) * torch.exp(-apart.square() / 2)
    chosen = votes.sum(1).argmax(0)
    near = votes[chosen, :, torch.arange(looks.shape[1])].t()
    share = near / near.sum(0).clamp(min=1e-12)
    return (share.unsqueeze(-1) * looks).sum(0)
