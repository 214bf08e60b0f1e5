"""Gradients of group normalisation: sums of parts of the nodes, then those of the features."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from bilayer_graph.ops._triton import tiles
from bilayer_graph.ops._triton.group_norm import KINDS, build, line, place, split

_PARTS = 8
"""Parts that a program combines at once."""

_TOTAL = 64, 32
"""Rows and channels of which a program sums the weight's and the bias's gradients at once."""


@triton.jit
def _slope(p_grad, p_x, o_x, m_x, b_mean, b_rstd, b_scale, b_bias, RELU: tl.constexpr):
    """Return the gradient before the ReLU and the normalised features, ``[BN, BG, BS]``."""
    b_grad = tl.load(p_grad + o_x, mask=m_x, other=0.0).to(tl.float32)
    b_off = tl.load(p_x + o_x, mask=m_x, other=0.0).to(tl.float32) - b_mean[None, :, None]
    if RELU:
        # The result is computed again: whoever has it may have changed it in place.
        b_grad = tl.where(b_off * b_scale[None, :, :] + b_bias[None, :, :] <= 0, 0.0, b_grad)
    return b_grad, b_off * b_rstd[None, :, None]


@triton.jit
def _sums(
    p_grad, p_x, o_x, m_c, count, C, b_mean, b_rstd, b_scale, b_bias,
    RELU: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Sum the gradient over some rows, alone and times the normalised features, ``[BG, BS]``."""
    o_n = tl.arange(0, BN)
    b_total = tl.zeros(o_x.shape, dtype=tl.float32)
    b_product = tl.zeros(o_x.shape, dtype=tl.float32)
    for i_n in range(0, count, BN):
        m_x = (i_n + o_n < count)[:, None, None] & m_c[None, :, :]
        b_grad, b_hat = _slope(p_grad, p_x, o_x, m_x, b_mean, b_rstd, b_scale, b_bias, RELU)
        b_total += b_grad
        b_product += b_grad * b_hat
        p_grad += tl.cast(C, tl.int64) * BN
        p_x += tl.cast(C, tl.int64) * BN
    return tl.sum(b_total, axis=0), tl.sum(b_product, axis=0)


@triton.jit
def _combine(p_total, p_product, o_c, m_c, parts, C, BP: tl.constexpr):
    """Add up the sums of all parts, ``[BG, BS]``."""
    b_total = tl.zeros(o_c.shape, dtype=tl.float32)
    b_product = tl.zeros(o_c.shape, dtype=tl.float32)
    for i_p in range(0, parts, BP):
        # [BP, BG, BS]
        o_p = (i_p + tl.arange(0, BP)).to(tl.int64)[:, None, None]
        o_sum, m_p = o_p * C + o_c[None, :, :], (o_p < parts) & m_c[None, :, :]
        b_total += tl.sum(tl.load(p_total + o_sum, mask=m_p, other=0.0), axis=0)
        b_product += tl.sum(tl.load(p_product + o_sum, mask=m_p, other=0.0), axis=0)
    return b_total, b_product


@triton.jit
def _sums_kernel(
    p_grad, p_x, p_weight, p_bias, p_mean, p_rstd, p_total, p_product,
    blocks, parts, rows, N, C, G,
    RELU: tl.constexpr, S: tl.constexpr, BN: tl.constexpr, BG: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    i_part, i_b, first, count, o_g, o_c, m_c, o_x = place(
        blocks, parts, rows, N, C, G, S, BN, BG, BS
    )
    b_mean = tl.load(p_mean + i_b * G + o_g, mask=o_g < G, other=0.0)
    b_rstd = tl.load(p_rstd + i_b * G + o_g, mask=o_g < G, other=0.0)
    b_scale, b_bias = line(p_weight, p_bias, o_c, m_c, b_rstd)
    b_total, b_product = _sums(
        p_grad + first, p_x + first, o_x, m_c, count, C, b_mean, b_rstd, b_scale, b_bias, RELU, BN
    )
    tl.store(p_total + i_part * C + o_c, b_total, mask=m_c)
    tl.store(p_product + i_part * C + o_c, b_product, mask=m_c)


@triton.jit
def _grad_kernel(
    p_grad, p_x, p_weight, p_bias, p_mean, p_rstd, p_total, p_product, p_grad_x,
    blocks, parts, rows, N, C, G,
    RELU: tl.constexpr, ALONE: tl.constexpr, S: tl.constexpr,
    BN: tl.constexpr, BG: tl.constexpr, BS: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    _, i_b, first, count, o_g, o_c, m_c, o_x = place(blocks, parts, rows, N, C, G, S, BN, BG, BS)
    p_grad += first
    p_x += first
    p_grad_x += first
    b_mean = tl.load(p_mean + i_b * G + o_g, mask=o_g < G, other=0.0)
    b_rstd = tl.load(p_rstd + i_b * G + o_g, mask=o_g < G, other=0.0)
    b_scale, b_bias = line(p_weight, p_bias, o_c, m_c, b_rstd)
    o_sum = i_b * parts * C
    if ALONE:
        b_total, b_product = _sums(
            p_grad, p_x, o_x, m_c, count, C, b_mean, b_rstd, b_scale, b_bias, RELU, BN
        )
        tl.store(p_total + o_sum + o_c, b_total, mask=m_c)
        tl.store(p_product + o_sum + o_c, b_product, mask=m_c)
    else:
        b_total, b_product = _combine(p_total + o_sum, p_product + o_sum, o_c, m_c, parts, C, BP)
    members = tl.cast(N, tl.float32) * S
    # [BG], already times 1 / sigma as b_scale is
    b_shift = tl.sum(b_scale * b_total, axis=1) / members
    b_tilt = tl.sum(b_scale * b_product, axis=1) / members
    o_n = tl.arange(0, BN)
    for i_n in range(0, count, BN):
        m_x = (i_n + o_n < count)[:, None, None] & m_c[None, :, :]
        b_grad, b_hat = _slope(p_grad, p_x, o_x, m_x, b_mean, b_rstd, b_scale, b_bias, RELU)
        b_out = b_scale[None, :, :] * b_grad - b_shift[None, :, None]
        b_out -= b_hat * b_tilt[None, :, None]
        tl.store(p_grad_x + o_x, b_out.to(p_grad_x.dtype.element_ty), mask=m_x)
        p_grad += tl.cast(C, tl.int64) * BN
        p_x += tl.cast(C, tl.int64) * BN
        p_grad_x += tl.cast(C, tl.int64) * BN


@triton.jit
def _total_kernel(
    p_total, p_product, p_bias, p_weight, R, C, BR: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    o_r = tl.arange(0, BR).to(tl.int64)
    o_c = tl.program_id(0) * BC + tl.arange(0, BC)
    # [BR, BC]
    b_total = tl.zeros([BR, BC], dtype=tl.float32)
    b_product = tl.zeros([BR, BC], dtype=tl.float32)
    for i_r in range(0, R, BR):
        o_sum = (i_r + o_r)[:, None] * C + o_c[None, :]
        m_sum = (i_r + o_r < R)[:, None] & (o_c < C)[None, :]
        b_total += tl.load(p_total + o_sum, mask=m_sum, other=0.0)
        b_product += tl.load(p_product + o_sum, mask=m_sum, other=0.0)
    b_total, b_product = tl.sum(b_total, axis=0), tl.sum(b_product, axis=0)
    tl.store(p_bias + o_c, b_total.to(p_bias.dtype.element_ty), mask=o_c < C)
    tl.store(p_weight + o_c, b_product.to(p_weight.dtype.element_ty), mask=o_c < C)


def group_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Launch the gradients of :func:`bilayer_graph.ops.group_norm`, as it is launched."""
    batch, nodes, channels = x.shape
    num_groups = mean.size(1)
    blocks, parts, rows, warps, sizes = split(x, num_groups)
    given = [each.contiguous() for each in (grad, x, weight, bias, mean, rstd)]
    grad_x = torch.empty_like(given[1])
    total, product = (mean.new_empty(batch * parts, channels) for _ in range(2))
    grad_weight, grad_bias = (weight.new_empty(channels) for _ in range(2))
    grid, shape = (blocks * parts * batch,), (blocks, parts, rows, nodes, channels, num_groups)
    with torch.cuda.device_of(x):
        if parts > 1:
            _sums_kernel[grid](
                *given, total, product, *shape, RELU=relu, **sizes, num_warps=warps
            )  # fmt: skip
        _grad_kernel[grid](
            *given, total, product, grad_x, *shape,
            RELU=relu, ALONE=parts == 1, BP=_PARTS, **sizes, num_warps=warps,
        )  # fmt: skip
        BR, BC = _TOTAL
        _total_kernel[(triton.cdiv(channels, BC),)](
            total, product, grad_bias, grad_weight, batch * parts, channels, BR=BR, BC=BC
        )
    return grad_x, grad_weight, grad_bias


BUILDS = [
    *(
        build(kernel, tile, dtype, members, **more)
        for tile in tiles.every_tile("group_norm")
        for dtype, members in KINDS
        for kernel, more in (
            (_sums_kernel, {}),
            (_grad_kernel, {"ALONE": False, "BP": _PARTS}),
            (_grad_kernel, {"ALONE": True, "BP": _PARTS}),
        )
    ),
    build(_total_kernel, tiles.Tile(1, 1, 4), torch.float32, 8, BR=_TOTAL[0], BC=_TOTAL[1]),
]
