"""Group normalisation over each graph of a disjoint union."""

import torch
from torch import Tensor

from bilayer_graph.ops._group_norm import check_channels
from bilayer_graph.ops.library import widen


def segment_group_norm(
    x: Tensor,
    batch: Tensor,
    batch_size: int,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    relu: bool = False,
) -> Tensor:
    """Normalise as :func:`~bilayer_graph.ops.group_norm` does over each graph of a disjoint union.

    Args:
        x: Features, shape ``[N, C]``.
        batch: The graph of each node, shape ``[N]``.
        batch_size: Number of graphs.
        num_groups: Number of groups, a divisor of ``C``.
        weight: Shape ``[C]``.
        bias: Shape ``[C]``.
        eps: Added to the variance.
        relu: Whether negative results become zero.

    Returns:
        The shape and the dtype of ``x``; the statistics are computed in float32 at least.

    Raises:
        InputError: If ``C`` does not fall into groups or is not that of ``weight``.
    """
    check_channels(x, num_groups, weight)
    wide, size = widen(x), x.size(1) // num_groups
    batch = batch.long()
    number = torch.bincount(batch, minlength=batch_size).clamp(min=1).unsqueeze(1)

    def mean_of_group(value: Tensor) -> Tensor:
        total = value.new_zeros(batch_size, value.size(1)).index_add(0, batch, value)
        mean = (total / number).view(batch_size, num_groups, size).mean(dim=2)
        return mean.repeat_interleave(size, dim=1)[batch]

    centred = wide - mean_of_group(wide)
    scale = (mean_of_group(centred.square()) + eps).rsqrt() * weight
    out = torch.addcmul(bias, centred, scale)
    # Unlike relu(), it does not keep the result, which may be changed in place.
    return (out.masked_fill(out <= 0, 0) if relu else out).to(x.dtype)
