r"""The terms of the training loss, each a pure function of tensors.

Every term is a mean over the entries that are *present*. ``weight`` says which: its shape is the
leading part of the prediction's (``[B]`` for whole samples, ``[B, N]`` for single joints), an entry
of weight 0 is absent and gives exactly no loss and no gradient (its target may hold anything, NaN
too), and any other weight multiplies the entry's loss. The mean divides by the number of present
entries, not by the sum of the weights: halving every weight halves the loss. With nothing present
the loss is 0. Half precision is raised to float32 first.
"""

import torch
from torch import Tensor


def vertex_loss(pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Return the L1 between predicted and true mesh vertices, :math:`L_m`, per coordinate.

    Args:
        pred: Vertices ``[B, V, 3]`` in metres.
        target: Vertices ``[B, V, 3]`` in metres.
        weight: Sample weights ``[B]`` or vertex weights ``[B, V]``.

    Returns:
        Scalar, metres.
    """
    return _mean_present(_difference(pred, target, weight).abs(), weight)


def joint_loss(pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Return the L1 between predicted and true 3D joints, :math:`L_m^{j3d}`, per coordinate.

    Args:
        pred: Joints ``[B, J, 3]`` in metres.
        target: Joints ``[B, J, 3]`` in metres, centred as the prediction is.
        weight: Sample weights ``[B]`` or joint weights ``[B, J]``.

    Returns:
        Scalar, metres.
    """
    return _mean_present(_difference(pred, target, weight).abs(), weight)


def projection_loss(pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Return the L1 between projected and true 2D joints, :math:`L_m^{j2d}`, :math:`L_s^{j2d}`.

    Args:
        pred: Projected joints ``[B, J, 2]`` in crop coordinates.
        target: 2D joints ``[B, J, 2]`` in crop coordinates.
        weight: Confidence or visibility ``[B, J]``, or sample weights ``[B]``.

    Returns:
        Scalar, crop coordinates.
    """
    return _mean_present(_difference(pred, target, weight).abs(), weight)


def focal_regression_loss(
    pred: Tensor,
    target: Tensor,
    alpha: float = 1.0,
    gamma: float = 1.0,
    truncation: float = 0.9,
    weight: Tensor | None = None,
) -> Tensor:
    r"""Return the focal loss on the skeleton's joints, :math:`L_s`: far joints weigh more.

    .. math:: -(\alpha L)^\gamma \log(1 - \min(t, \alpha L))

    with :math:`L` one joint's L1 error, the mean of its three absolute differences in metres, so
    that a joint is easy or hard as a whole. With :math:`\gamma = 1` the loss is quadratic near 0,
    :math:`(\alpha L)^2`, and steepens towards :math:`\alpha L = t`. From there on only the
    logarithm is truncated: it stays at :math:`\log(1 - t)`, and the factor in front still carries
    a gradient, :math:`-\alpha \log(1 - t)`.

    Args:
        pred: Joints ``[B, J, 3]`` in metres.
        target: Joints ``[B, J, 3]`` in metres.
        alpha: Scale of the error, above 0.
        gamma: Exponent of the focusing factor, at least 0.
        truncation: :math:`t`, between 0 and 1.
        weight: Sample weights ``[B]`` or joint weights ``[B, J]``.

    Returns:
        Scalar, without the paper's coefficient.

    Raises:
        ValueError: If a parameter is outside its range.
    """
    if not (alpha > 0 and gamma >= 0 and 0 < truncation < 1):
        raise ValueError(
            f"alpha={alpha}, gamma={gamma}, truncation={truncation}: "
            "alpha must be above 0, gamma at least 0, truncation between 0 and 1."
        )
    error = alpha * _difference(pred, target, weight).abs().mean(dim=-1)
    # Clamped because the power of 0 has an infinite derivative for gamma < 1.
    factor = error.clamp_min(torch.finfo(error.dtype).tiny).pow(gamma)
    return _mean_present(-factor * torch.log1p(-error.clamp_max(truncation)), weight)


def pose_loss(pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Return the mean squared error of rotation matrices, :math:`L_\theta`, per matrix entry.

    Args:
        pred: Rotations ``[B, R, 3, 3]``.
        target: Rotations ``[B, R, 3, 3]``.
        weight: Sample weights ``[B]`` or rotation weights ``[B, R]``.

    Returns:
        Scalar.
    """
    return _mean_present(_difference(pred, target, weight).square(), weight)


def shape_loss(pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Return the mean squared error of shape coefficients, :math:`L_\beta`.

    Args:
        pred: Coefficients ``[B, K]``.
        target: Coefficients ``[B, K]``.
        weight: Sample weights ``[B]``.

    Returns:
        Scalar.
    """
    return _mean_present(_difference(pred, target, weight).square(), weight)


def _difference(pred: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Return ``pred - target`` in at least float32, 0 where the weight is 0."""
    if pred.shape != target.shape:
        raise ValueError(
            f"target of shape {list(target.shape)} for a prediction of shape {list(pred.shape)}: "
            "they must be equal, nothing is broadcast."
        )
    difference = _at_least_float32(pred) - _at_least_float32(target)
    if weight is None:
        return difference
    # where, not a product: 0 times NaN is NaN.
    return torch.where(_align(weight, difference) > 0, difference, 0.0)


def _mean_present(loss: Tensor, weight: Tensor | None) -> Tensor:
    """Return the weighted sum of ``loss`` over the number of entries with a weight above 0."""
    if weight is None:
        return loss.mean()
    aligned = _align(weight, loss)
    present = (aligned > 0).expand_as(loss).sum()
    return (aligned.clamp_min(0) * loss).sum() / present.clamp_min(1)


def _align(weight: Tensor, like: Tensor) -> Tensor:
    """Return ``weight`` with trailing dimensions of size 1, in the type of ``like``."""
    if weight.shape != like.shape[: weight.dim()]:
        raise ValueError(
            f"weight of shape {list(weight.shape)} for {list(like.shape)}: "
            "it must be the leading part of that shape."
        )
    return weight.to(like.dtype).reshape(weight.shape + (1,) * (like.dim() - weight.dim()))


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
