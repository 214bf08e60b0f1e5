"""One person found twice: object keypoint similarity and overlap of boxes."""

import torch
from torch import Tensor

# Deviation of COCO's annotators at each joint, in shares of the person's size.
_HEAD = (0.026, 0.025, 0.025, 0.035, 0.035)
_ARMS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062)
_LEGS = (0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
_DEVIATION = _HEAD + _ARMS + _LEGS


def joint_box(keypoints: Tensor, least: float) -> Tensor:
    """Return boxes around the joints with at the least that confidence, else around all.

    Args:
        keypoints: ``[..., 17, 3]``.
        least: Confidence of the joints that count, where at the least three reach it.

    Returns:
        ``[..., 4]``: x0, y0, x1, y1.
    """
    counts = keypoints[..., 2] >= least
    counts = counts | (counts.sum(-1, keepdim=True) < 3)
    points = keypoints[..., :2]
    low = points.masked_fill(~counts[..., None], torch.inf).amin(-2)
    high = points.masked_fill(~counts[..., None], -torch.inf).amax(-2)
    return torch.cat([low, high], dim=-1)


def widened(box: Tensor, factor: float) -> Tensor:
    """Return boxes ``[..., 4]`` with longer sides around the same middle."""
    middle = (box[..., :2] + box[..., 2:]) / 2
    half = (box[..., 2:] - box[..., :2]) / 2 * factor
    return torch.cat([middle - half, middle + half], dim=-1)


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of boxes ``[N, 4]`` and ``[M, 4]``: ``[N, M]``."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area, other = ((b[:, 2:] - b[:, :2]).clamp(min=0).prod(-1) for b in (boxes, others))
    return shared / (area[:, None] + other[None] - shared).clamp(min=1e-9)


def similarity(keypoints: Tensor, others: Tensor, areas: Tensor) -> Tensor:
    r"""Return the object keypoint similarity, the mean of ``exp(-d^2 / (2 area (2 sigma)^2))``.

    Args:
        keypoints: ``[N, 17, 3]``.
        others: ``[M, 17, 3]``.
        areas: ``[N]`` area of each of ``keypoints``.

    Returns:
        ``[N, M]`` in [0, 1].
    """
    squared = (keypoints[:, None, :, :2] - others[None, :, :, :2]).square().sum(-1)
    spread = 2 * keypoints.new_tensor(_DEVIATION)
    scaled = squared / (2 * areas[:, None, None].clamp(min=1) * spread.square())
    return torch.exp(-scaled).mean(-1)


def distinct(
    keypoints: Tensor, boxes: Tensor, scores: Tensor, similar: float, overlapping: float
) -> Tensor:
    """Return those who are nobody better's duplicate.

    Args:
        keypoints: ``[N, 17, 3]``.
        boxes: ``[N, 4]``.
        scores: ``[N]``.
        similar: Similarity of the joints from which on two are one.
        overlapping: Overlap of the boxes from which on two are one.

    Returns:
        Indices of those who stay, best first.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    same = similarity(keypoints, keypoints, areas) > similar
    same |= overlap(boxes, boxes) > overlapping
    kept: list[int] = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if not any(bool(same[i, j]) or bool(same[j, i]) for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)
