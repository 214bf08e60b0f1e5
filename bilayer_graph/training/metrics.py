"""Errors of joints and vertices in millimetres, one per sample, aligned as the caller says."""

from collections.abc import Sequence

import torch
from torch import Tensor

MILLIMETRES = 1000.0


def mpjpe(pred: Tensor, target: Tensor, root: int | Sequence[int] | None = None) -> Tensor:
    """Return the mean per-joint position error: the mean Euclidean distance of the joints.

    Args:
        pred: Joints ``[B, J, 3]`` in metres.
        target: Joints ``[B, J, 3]`` in metres.
        root: Joint that both are centred on first, or several joints whose mean it is (``(2, 3)``
            is the mid-hip of the twelve joints). None compares the joints where they are.

    Returns:
        Errors ``[B]`` in millimetres.
    """
    pred, target = _check(pred, target)
    if root is not None:
        index = [root] if isinstance(root, int) else list(root)
        pred = pred - pred[:, index].mean(dim=1, keepdim=True)
        target = target - target[:, index].mean(dim=1, keepdim=True)
    return _mean_distance(pred, target)


def pa_mpjpe(pred: Tensor, target: Tensor) -> Tensor:
    """Return the mean per-joint position error after :func:`procrustes_align`.

    Args:
        pred: Joints ``[B, J, 3]`` in metres.
        target: Joints ``[B, J, 3]`` in metres.

    Returns:
        Errors ``[B]`` in millimetres.
    """
    pred, target = _check(pred, target)
    return _mean_distance(procrustes_align(pred, target), target)


def pve(pred: Tensor, target: Tensor, centres: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return the per-vertex error: the mean Euclidean distance of the vertices.

    Args:
        pred: Vertices ``[B, V, 3]`` in metres.
        target: Vertices ``[B, V, 3]`` in metres.
        centres: Points ``[B, 3]`` taken off ``pred`` and ``target``, such as the two pelvis joints.
            None compares the vertices where they are.

    Returns:
        Errors ``[B]`` in millimetres.
    """
    pred, target = _check(pred, target)
    if centres is not None:
        pred, target = pred - centres[0].unsqueeze(1), target - centres[1].unsqueeze(1)
    return _mean_distance(pred, target)


def procrustes_align(pred: Tensor, target: Tensor) -> Tensor:
    r"""Move ``pred`` onto ``target`` by the similarity transform with the least squared distance.

    .. math:: \min_{s, R, t} \sum_i \lVert s R x_i + t - y_i \rVert^2, \quad R \in SO(3)

    Solved in closed form with one batched SVD of the 3 x 3 covariances. Reflections are excluded:
    where the best orthogonal matrix mirrors, the axis of the smallest singular value is flipped
    back. Points that all coincide, in ``pred`` or in ``target``, end up on the target's mean.
    Samples that are not finite give NaN and leave the others alone.

    Args:
        pred: Points ``[B, N, 3]``.
        target: Points ``[B, N, 3]``.

    Returns:
        Moved points ``[B, N, 3]``, at least float32.
    """
    pred, target = _check(pred, target)
    with torch.autocast(pred.device.type, enabled=False):
        pred_centred = pred - pred.mean(dim=1, keepdim=True)
        target_mean = target.mean(dim=1, keepdim=True)
        covariance = pred_centred.transpose(1, 2) @ (target - target_mean)
        # A NaN would make the SVD of the whole batch fail; it comes back through pred_centred.
        u, singular, vh = torch.linalg.svd(covariance.nan_to_num(0.0, 0.0, 0.0))
        sign = torch.ones_like(singular)
        sign[:, 2] = torch.where(torch.linalg.det(u @ vh) < 0, -1.0, 1.0)
        rotation = (u * sign.unsqueeze(1)) @ vh
        spread = pred_centred.square().sum(dim=(1, 2))
        scale = torch.where(spread == 0, 0.0, (singular * sign).sum(dim=1) / spread)
        moved: Tensor = scale[:, None, None] * (pred_centred @ rotation) + target_mean
        return moved


def _mean_distance(pred: Tensor, target: Tensor) -> Tensor:
    distance: Tensor = (pred - target).norm(dim=-1)
    return MILLIMETRES * distance.mean(dim=-1)


def _check(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in at least float32, after a check that neither would be broadcast."""
    if pred.shape != target.shape or pred.dim() != 3 or pred.shape[-1] != 3:
        raise ValueError(
            f"pred of shape {list(pred.shape)} and target of shape {list(target.shape)}: "
            "both must be [B, N, 3]."
        )
    dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
    return pred.to(dtype), target.to(dtype)
