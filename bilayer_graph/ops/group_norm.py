"""Group normalisation of node features, over the nodes of one graph."""

import torch
from torch import Tensor


def group_norm(x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    r"""Normalise groups of channels over the nodes of each graph, without leaving the node layout.

    .. math:: y = \gamma \, (x - \mu_{bg}) / \sqrt{\sigma^2_{bg} + \epsilon} + \beta

    with the mean and the (biased) variance over all nodes and all channels of group :math:`g`.

    Args:
        x: Features, shape ``[B, N, C]``.
        num_groups: Number of groups :math:`G`, a divisor of ``C``.
        weight: :math:`\gamma`, shape ``[C]``.
        bias: :math:`\beta`, shape ``[C]``.
        eps: :math:`\epsilon`.

    Returns:
        Shape ``[B, N, C]``, in the dtype of ``x``; the statistics are computed in float32 at least.
    """
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    batch, _, channels = x.shape
    variance, mean = torch.var_mean(wide, dim=1, correction=0)
    grouped = mean.view(batch, num_groups, channels // num_groups)
    # Law of total variance: within the channels of a group plus between them.
    between, centre = torch.var_mean(grouped, dim=2, correction=0, keepdim=True)
    within = variance.view_as(grouped).mean(dim=2, keepdim=True)
    scale = (within + between + eps).rsqrt() * weight.view(num_groups, -1)
    shift = bias.view(num_groups, -1) - centre * scale
    return torch.addcmul(shift.view(batch, 1, channels), wide, scale.view(batch, 1, channels)).to(
        x.dtype
    )
