"""Group normalisation kernels: moments of parts of the nodes, then the result, with its ReLU.

``G`` groups of ``S`` channels. A program takes some rows, that is nodes, and some groups of one
item; ``BS`` is ``S`` or the power of two above. Where one program takes all rows (``ALONE``), the
kernel that writes the result finds the moments as well.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from bilayer_graph.ops._triton import Build, tiles

_ALONE = 8
"""Tiles of rows that a program takes alone, although there are few programs."""

_PARTS = 64
"""Parts that a program combines at once."""


@triton.jit
def place(
    blocks, parts, rows, N, C, G,
    S: tl.constexpr, BN: tl.constexpr, BG: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    """Return a program's part, its first row, how many, its groups, channels and offsets."""
    i_program = tl.program_id(0)
    # groups, then parts, then the batch: neighbours in time read neighbours in memory
    i_g = i_program % blocks
    i_part = (i_program // blocks).to(tl.int64)
    i_b, i_p = i_part // parts, i_part % parts
    row = i_b * N + i_p * rows
    count = tl.minimum(N - i_p * rows, rows).to(tl.int32)
    o_g, o_s = (i_g * BG + tl.arange(0, BG)).to(tl.int64), tl.arange(0, BS)
    # [BG, BS]
    o_c = o_g[:, None] * S + o_s[None, :]
    m_c = (o_g < G)[:, None] & (o_s < S)[None, :]
    # [BN, BG, BS]
    o_x = tl.arange(0, BN).to(tl.int64)[:, None, None] * C + o_c[None, :, :]
    return i_part, i_b, row * C, count, o_g, o_c, m_c, o_x


@triton.jit
def _moments(p_x, o_x, m_c, count, C, S: tl.constexpr, BN: tl.constexpr):
    """Return the mean of each group and its sum of squared deviations over some rows, ``[BG]``."""
    o_n = tl.arange(0, BN)
    # [BN, BG, BS]
    b_mean = tl.zeros(o_x.shape, dtype=tl.float32)
    b_square = tl.zeros(o_x.shape, dtype=tl.float32)
    step = 0.0
    # Welford's way in every lane: no large sums, whatever the mean.
    for i_n in range(0, count, BN):
        m_x = (i_n + o_n < count)[:, None, None] & m_c[None, :, :]
        b_x = tl.load(p_x + o_x, mask=m_x, other=0.0).to(tl.float32)
        step += 1.0
        b_off = tl.where(m_x, b_x - b_mean, 0.0)
        b_mean += b_off * (1.0 / step)
        b_square += b_off * (b_x - b_mean)
        p_x += tl.cast(C, tl.int64) * BN
    b_rows = ((count - o_n + BN - 1) // BN).to(tl.float32)
    b_rows = tl.where(m_c[None, :, :], b_rows[:, None, None], 0.0)
    members = count.to(tl.float32) * S
    b_mid = _sum(b_rows * b_mean) / members
    b_off = b_mean - b_mid[None, :, None]
    b_shift = _sum(b_rows * b_off) / members
    b_square = _sum(b_square + b_rows * b_off * b_off)
    return b_mid + b_shift, b_square - members * b_shift * b_shift


@triton.jit
def _sum(b_x):
    """Sum over rows and over the channels of a group: ``[BN, BG, BS]`` to ``[BG]``."""
    return tl.sum(tl.sum(b_x, axis=0), axis=1)


@triton.jit
def _combine(p_part, o_g, N, G, parts, rows, S: tl.constexpr, BP: tl.constexpr):
    """Return the moments of all rows from those of their parts, as Chan does."""
    # [BG]
    b_mid = tl.zeros(o_g.shape, dtype=tl.float32)
    b_shift = tl.zeros(o_g.shape, dtype=tl.float32)
    b_square = tl.zeros(o_g.shape, dtype=tl.float32)
    number = tl.cast(N, tl.float32)
    for i_p in range(0, parts, BP):
        o_p, m_p, b_rows = _rows(i_p, o_g, N, G, parts, rows, BP)
        b_mid += tl.sum(b_rows * tl.load(p_part + o_p, mask=m_p, other=0.0), axis=0) / number
    for i_p in range(0, parts, BP):
        o_p, m_p, b_rows = _rows(i_p, o_g, N, G, parts, rows, BP)
        b_off = tl.load(p_part + o_p, mask=m_p, other=0.0) - b_mid[None, :]
        b_within = tl.load(p_part + o_p + G, mask=m_p, other=0.0)
        b_shift += tl.sum(b_rows * b_off, axis=0) / number
        b_square += tl.sum(b_within + S * b_rows * b_off * b_off, axis=0)
    return b_mid + b_shift, b_square - number * S * b_shift * b_shift


@triton.jit
def _rows(i_p, o_g, N, G, parts, rows, BP: tl.constexpr):
    """Return the offsets of some parts, their mask and how many rows each has, ``[BP, BG]``."""
    o_p = (i_p + tl.arange(0, BP)).to(tl.int64)
    m_p = (o_p < parts)[:, None] & (o_g < G)[None, :]
    b_rows = tl.minimum(N - o_p * rows, rows).to(tl.float32)
    return o_p[:, None] * G * 2 + o_g[None, :], m_p, tl.where(m_p, b_rows[:, None], 0.0)


@triton.jit
def _moments_kernel(
    p_x, p_part, blocks, parts, rows, N, C, G,
    S: tl.constexpr, BN: tl.constexpr, BG: tl.constexpr, BS: tl.constexpr,
):  # fmt: skip
    i_part, _, first, count, o_g, _, m_c, o_x = place(blocks, parts, rows, N, C, G, S, BN, BG, BS)
    b_mean, b_square = _moments(p_x + first, o_x, m_c, count, C, S, BN)
    o_part = i_part * G * 2 + o_g
    tl.store(p_part + o_part, b_mean, mask=o_g < G)
    tl.store(p_part + o_part + G, b_square, mask=o_g < G)


@triton.jit
def _norm_kernel(
    p_x, p_weight, p_bias, p_part, p_out, p_mean, p_rstd, blocks, parts, rows, N, C, G, eps,
    RELU: tl.constexpr, ALONE: tl.constexpr, S: tl.constexpr,
    BN: tl.constexpr, BG: tl.constexpr, BS: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    i_part, i_b, first, count, o_g, o_c, m_c, o_x = place(
        blocks, parts, rows, N, C, G, S, BN, BG, BS
    )
    p_x += first
    p_out += first
    if ALONE:
        b_mean, b_square = _moments(p_x, o_x, m_c, count, C, S, BN)
    else:
        b_mean, b_square = _combine(p_part + i_b * parts * G * 2, o_g, N, G, parts, rows, S, BP)
    b_rstd = 1.0 / tl.sqrt_rn(b_square / (tl.cast(N, tl.float32) * S) + eps)
    m_g = (o_g < G) & (i_part == i_b * parts)
    tl.store(p_mean + i_b * G + o_g, b_mean, mask=m_g)
    tl.store(p_rstd + i_b * G + o_g, b_rstd, mask=m_g)
    b_scale, b_bias = line(p_weight, p_bias, o_c, m_c, b_rstd)
    o_n = tl.arange(0, BN)
    for i_n in range(0, count, BN):
        m_x = (i_n + o_n < count)[:, None, None] & m_c[None, :, :]
        b_x = tl.load(p_x + o_x, mask=m_x, other=0.0).to(tl.float32)
        b_out = (b_x - b_mean[None, :, None]) * b_scale[None, :, :] + b_bias[None, :, :]
        if RELU:
            b_out = tl.where(b_out < 0, 0.0, b_out)
        tl.store(p_out + o_x, b_out.to(p_out.dtype.element_ty), mask=m_x)
        p_x += tl.cast(C, tl.int64) * BN
        p_out += tl.cast(C, tl.int64) * BN


@triton.jit
def line(p_weight, p_bias, o_c, m_c, b_rstd):
    """Return by what centred features are multiplied, and what is added, ``[BG, BS]``."""
    b_weight = tl.load(p_weight + o_c, mask=m_c, other=0.0).to(tl.float32)
    b_bias = tl.load(p_bias + o_c, mask=m_c, other=0.0).to(tl.float32)
    return b_rstd[:, None] * b_weight, b_bias


class Split(NamedTuple):
    """How features are divided among programs.

    Attributes:
        blocks: Blocks of groups.
        parts: Parts of the rows of an item; one program alone takes one part.
        rows: Rows of a part, the last one's aside.
        warps: Warps a program.
        sizes: Sizes of a tile, by their names in the kernels.
    """

    blocks: int
    parts: int
    rows: int
    warps: int
    sizes: dict[str, int]


def split(x: Tensor, groups: int) -> Split:
    """Divide features ``[B, N, C]`` in so many groups."""
    batch, nodes, channels = x.shape
    tile = tiles.tile("group_norm", x.device)
    sizes = _sizes(tile, groups, channels // groups, x.dtype)
    blocks = triton.cdiv(groups, sizes["BG"])
    tiles_n = triton.cdiv(nodes, sizes["BN"])
    parts = min(triton.cdiv(tiles.PROGRAMS, batch * blocks), tiles_n)
    if tiles_n <= _ALONE:
        parts = 1
    rows = nodes if parts == 1 else triton.cdiv(tiles_n, parts) * sizes["BN"]
    return Split(blocks, triton.cdiv(nodes, rows), rows, tile.warps, sizes)


def _sizes(tile: tiles.Tile, groups: int, members: int, dtype: torch.dtype) -> dict[str, int]:
    BS = triton.next_power_of_2(members)
    BG = min(triton.next_power_of_2(groups), max(1, tile.width // (BS * dtype.itemsize)))
    return {"S": members, "BN": max(1, tile.size // (BG * BS)), "BG": BG, "BS": BS}


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Launch :func:`bilayer_graph.ops.group_norm`; mean and ``1 / sigma`` too, ``[B, G, 1]``."""
    x, (batch, nodes, channels) = x.contiguous(), x.shape
    blocks, parts, rows, warps, sizes = split(x, num_groups)
    out = torch.empty_like(x)
    mean, rstd = (x.new_empty(batch, num_groups, 1, dtype=torch.float32) for _ in range(2))
    part = x.new_empty(batch, parts, 2, num_groups, dtype=torch.float32) if parts > 1 else mean
    grid, shape = (blocks * parts * batch,), (blocks, parts, rows, nodes, channels, num_groups)
    with torch.cuda.device_of(x):
        if parts > 1:
            _moments_kernel[grid](x, part, *shape, **sizes, num_warps=warps)
        _norm_kernel[grid](
            x, weight.contiguous(), bias.contiguous(), part, out, mean, rstd, *shape, eps,
            RELU=relu, ALONE=parts == 1, BP=_PARTS, **sizes, num_warps=warps,
        )  # fmt: skip
    return out, mean, rstd


def build(kernel: Any, tile: tiles.Tile, dtype: torch.dtype, members: int, **more: Any) -> Build:
    """Return a kernel as it is compiled for 256 channels of a dtype, with a ReLU."""
    number = {torch.float32: "*fp32:16", torch.bfloat16: "*bf16:16"}[dtype]
    constants = {"RELU": True, **_sizes(tile, 256 // members, members, dtype), **more}
    types = dict.fromkeys(("p_x", "p_out", "p_grad", "p_grad_x"), number)
    types |= {"eps": "fp32", "C": "i32:16"}
    signature = {
        name: types.get(name, "*fp32:16" if name.startswith("p_") else "i32")
        for name in kernel.arg_names
        if name not in constants
    }
    used = {name: value for name, value in constants.items() if name in kernel.arg_names}
    return Build(kernel, signature, used, tile.warps)


KINDS = (torch.float32, 8), (torch.bfloat16, 8), (torch.float32, 6)
"""Dtype and channels of a group of what is compiled ahead of time."""

BUILDS = [
    build(kernel, tile, dtype, members, **more)
    for tile in tiles.every_tile("group_norm")
    for dtype, members in KINDS
    for kernel, more in (
        (_moments_kernel, {}),
        (_norm_kernel, {"ALONE": False, "BP": _PARTS}),
        (_norm_kernel, {"ALONE": True, "BP": _PARTS}),
    )
]
