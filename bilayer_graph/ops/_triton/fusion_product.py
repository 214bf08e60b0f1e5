"""Fusion product kernels: one small graph, whose features stay in registers, and one large.

``L`` nodes of the large graph, ``S`` of the small one. A program holds all nodes of the small
graph and streams those of the large one.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from bilayer_graph.ops._triton import Build, tiles


@triton.jit
def _reduce_kernel(
    p_a, p_x, p_out, a_stride_s, a_stride_l, B, L, S, C, rows,
    DOT: tl.constexpr, BS: tl.constexpr, BL: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    i_program, blocks_c = tl.program_id(0), tl.cdiv(C, BC)
    i_b, i_c = i_program % B, (i_program // B) % blocks_c
    i_p = (i_program // (B * blocks_c)).to(tl.int64)
    o_s, o_c = tl.arange(0, BS).to(tl.int64), i_c * BC + tl.arange(0, BC)
    m_s, m_c = o_s < S, o_c < C
    p_x += i_b.to(tl.int64) * L * C
    b_out = tl.zeros([BS, BC], dtype=tl.float32)
    for i_l in range(i_p * rows, tl.minimum((i_p + 1) * rows, L), BL):
        o_l = i_l + tl.arange(0, BL)
        m_l = o_l < L
        # [BS, BL]
        o_a = o_s[:, None] * a_stride_s + o_l[None, :] * a_stride_l
        b_a = tl.load(p_a + o_a, mask=m_s[:, None] & m_l[None, :], other=0.0)
        # [BL, BC]
        m_x = m_l[:, None] & m_c[None, :]
        b_x = tl.load(p_x + o_l[:, None] * C + o_c[None, :], mask=m_x, other=0.0)
        b_out = tl.dot(b_a.to(b_x.dtype), b_x, b_out, input_precision=DOT)
    o_out = (i_p * B + i_b) * S * C + o_s[:, None] * C + o_c[None, :]
    tl.store(p_out + o_out, b_out.to(p_out.dtype.element_ty), mask=m_s[:, None] & m_c[None, :])


@triton.jit
def _expand_kernel(
    p_a, p_x, p_out, a_stride_l, a_stride_s, B, L, S, C,
    DOT: tl.constexpr, BS: tl.constexpr, BL: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    i_program, blocks_l = tl.program_id(0), tl.cdiv(L, BL)
    i_b = (i_program % B).to(tl.int64)
    i_l, i_c = (i_program // B) % blocks_l, i_program // (B * blocks_l)
    o_l, o_s = (i_l * BL + tl.arange(0, BL)).to(tl.int64), tl.arange(0, BS).to(tl.int64)
    o_c = i_c * BC + tl.arange(0, BC)
    m_s, m_l, m_c = o_s < S, o_l < L, o_c < C
    # [BL, BS]
    o_a = o_l[:, None] * a_stride_l + o_s[None, :] * a_stride_s
    b_a = tl.load(p_a + o_a, mask=m_l[:, None] & m_s[None, :], other=0.0)
    # [BS, BC]
    o_x = i_b * S * C + o_s[:, None] * C + o_c[None, :]
    b_x = tl.load(p_x + o_x, mask=m_s[:, None] & m_c[None, :], other=0.0)
    b_out = tl.dot(b_a.to(b_x.dtype), b_x, input_precision=DOT)
    o_out = i_b * L * C + o_l[:, None] * C + o_c[None, :]
    tl.store(p_out + o_out, b_out.to(p_out.dtype.element_ty), mask=m_l[:, None] & m_c[None, :])


@triton.jit
def _reduce_backward_kernel(
    p_a, p_x, p_grad, p_grad_a, p_grad_x, a_stride_s, a_stride_l, B, L, S, C, parts,
    DOT: tl.constexpr, BS: tl.constexpr, BL: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    i_l, i_p = tl.program_id(0) // parts, tl.program_id(0) % parts
    o_s, o_l = tl.arange(0, BS).to(tl.int64), (i_l * BL + tl.arange(0, BL)).to(tl.int64)
    m_s, m_l = o_s < S, o_l < L
    # [BL, BS]
    o_a = o_l[:, None] * a_stride_l + o_s[None, :] * a_stride_s
    b_a = tl.load(p_a + o_a, mask=m_l[:, None] & m_s[None, :], other=0.0).to(p_x.dtype.element_ty)
    b_grad_a = tl.zeros([BL, BS], dtype=tl.float32)
    for i_b in range(i_p, B, parts):
        o_long = tl.cast(i_b, tl.int64) * L * C + o_l[:, None] * C
        o_short = tl.cast(i_b, tl.int64) * S * C + o_s[:, None] * C
        for i_c in range(0, C, BC):
            o_c = i_c + tl.arange(0, BC)[None, :]
            m_long, m_short = m_l[:, None] & (o_c < C), m_s[:, None] & (o_c < C)
            # [BL, BC] and [BS, BC]
            b_x = tl.load(p_x + o_long + o_c, mask=m_long, other=0.0)
            b_grad = tl.load(p_grad + o_short + o_c, mask=m_short, other=0.0)
            b_grad_a = tl.dot(b_x, tl.trans(b_grad), b_grad_a, input_precision=DOT)
            b_grad_x = tl.dot(b_a, b_grad, input_precision=DOT)
            tl.store(p_grad_x + o_long + o_c, b_grad_x.to(p_grad_x.dtype.element_ty), mask=m_long)
    o_grad_a = i_p.to(tl.int64) * S * L + o_s[None, :] * L + o_l[:, None]
    tl.store(p_grad_a + o_grad_a, b_grad_a, mask=m_l[:, None] & m_s[None, :])


@triton.jit
def _expand_backward_kernel(
    p_a, p_x, p_grad, p_grad_a, p_grad_x, a_stride_l, a_stride_s, B, L, S, C, parts,
    DOT: tl.constexpr, BS: tl.constexpr, BL: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    i_l, i_p = tl.program_id(0) // parts, tl.program_id(0) % parts
    o_s, o_l = tl.arange(0, BS).to(tl.int64), (i_l * BL + tl.arange(0, BL)).to(tl.int64)
    m_s, m_l = o_s < S, o_l < L
    # [BS, BL]
    o_a = o_s[:, None] * a_stride_s + o_l[None, :] * a_stride_l
    b_a = tl.load(p_a + o_a, mask=m_s[:, None] & m_l[None, :], other=0.0).to(p_x.dtype.element_ty)
    b_grad_a = tl.zeros([BL, BS], dtype=tl.float32)
    for i_b in range(i_p, B, parts):
        o_long = tl.cast(i_b, tl.int64) * L * C + o_l[:, None] * C
        o_short = tl.cast(i_b, tl.int64) * S * C + o_s[:, None] * C
        o_part = (i_l.to(tl.int64) * B + i_b) * S * C + o_s[:, None] * C
        for i_c in range(0, C, BC):
            o_c = i_c + tl.arange(0, BC)[None, :]
            m_long, m_short = m_l[:, None] & (o_c < C), m_s[:, None] & (o_c < C)
            # [BL, BC] and [BS, BC]
            b_grad = tl.load(p_grad + o_long + o_c, mask=m_long, other=0.0)
            b_x = tl.load(p_x + o_short + o_c, mask=m_short, other=0.0)
            b_grad_a = tl.dot(b_grad, tl.trans(b_x), b_grad_a, input_precision=DOT)
            b_grad_x = tl.dot(b_a, b_grad, input_precision=DOT)
            tl.store(p_grad_x + o_part + o_c, b_grad_x, mask=m_short)
    o_grad_a = i_p.to(tl.int64) * L * S + o_l[:, None] * S + o_s[None, :]
    tl.store(p_grad_a + o_grad_a, b_grad_a, mask=m_l[:, None] & m_s[None, :])


_TILE_OF = {
    _reduce_kernel: "fusion_reduce",
    _expand_kernel: "fusion_expand",
    _reduce_backward_kernel: "fusion_reduce_backward",
    _expand_backward_kernel: "fusion_expand_backward",
}
"""Names of the kernels' tiles."""

Sizes = dict[str, int]


def _launch(kernel: Any, programs: int, *args: Any, tile: tiles.Tile, sizes: Sizes) -> None:
    with torch.cuda.device_of(args[0]):
        kernel[(programs,)](*args, DOT=tile.dot, **sizes, num_warps=tile.warps)


def _sizes(tile: tiles.Tile, short: int, channels: int, dtype: torch.dtype) -> Sizes:
    BS = max(16, triton.next_power_of_2(short))
    BC = min(tile.width // dtype.itemsize, max(16, triton.next_power_of_2(channels)))
    return {"BS": BS, "BL": tile.size // BS, "BC": BC}


def fusion_product(adjacency: Tensor, x: Tensor) -> Tensor:
    """Launch :func:`bilayer_graph.ops.fusion_product`."""
    rows, columns = adjacency.shape
    return (_reduce if rows <= columns else _expand)(adjacency, x.contiguous())


def _reduce(adjacency: Tensor, x: Tensor) -> Tensor:
    batch, long, channels = x.shape
    short = adjacency.size(0)
    tile = tiles.tile("fusion_reduce", x.device)
    sizes = _sizes(tile, short, channels, x.dtype)
    BL, groups = sizes["BL"], triton.cdiv(channels, sizes["BC"])
    # As few nodes a program as four blocks: partial sums stay small beside x.
    parts = max(1, min(tiles.PROGRAMS // (batch * groups), long // (4 * BL)))
    rows = triton.cdiv(triton.cdiv(long, parts), BL) * BL
    parts = triton.cdiv(long, rows)
    dtype = x.dtype if parts == 1 else torch.float32
    out = torch.empty(parts, batch, short, channels, dtype=dtype, device=x.device)
    _launch(
        _reduce_kernel, batch * groups * parts, adjacency, x, out, *adjacency.stride(),
        batch, long, short, channels, rows, tile=tile, sizes=sizes,
    )  # fmt: skip
    return out[0] if parts == 1 else out.sum(0).to(x.dtype)


def _expand(adjacency: Tensor, x: Tensor) -> Tensor:
    batch, short, channels = x.shape
    long = adjacency.size(0)
    tile = tiles.tile("fusion_expand", x.device)
    sizes = _sizes(tile, short, channels, x.dtype)
    out = torch.empty(batch, long, channels, dtype=x.dtype, device=x.device)
    programs = batch * triton.cdiv(long, sizes["BL"]) * triton.cdiv(channels, sizes["BC"])
    _launch(
        _expand_kernel, programs, adjacency, x, out, *adjacency.stride(),
        batch, long, short, channels, tile=tile, sizes=sizes,
    )  # fmt: skip
    return out


def fusion_product_backward(adjacency: Tensor, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Launch both gradients of :func:`bilayer_graph.ops.fusion_product`."""
    rows, columns = adjacency.shape
    reduces = rows <= columns
    kernel = _reduce_backward_kernel if reduces else _expand_backward_kernel
    short, long = min(rows, columns), max(rows, columns)
    batch, _, channels = x.shape
    tile = tiles.tile(_TILE_OF[kernel], x.device)
    sizes = _sizes(tile, short, channels, x.dtype)
    blocks_l = triton.cdiv(long, sizes["BL"])
    # One partial gradient of the adjacency an item, fewer where there are programs enough.
    parts = triton.cdiv(batch, max(1, batch * blocks_l // tiles.PROGRAMS))
    grad_a = torch.empty(parts, rows, columns, dtype=torch.float32, device=x.device)
    if reduces:
        grad_x = torch.empty(batch, long, channels, dtype=x.dtype, device=x.device)
    else:
        grad_x = torch.empty(blocks_l, batch, short, channels, dtype=torch.float32, device=x.device)
    _launch(
        kernel, blocks_l * parts, adjacency, x.contiguous(), grad.contiguous(), grad_a, grad_x,
        *adjacency.stride(), batch, long, short, channels, parts, tile=tile, sizes=sizes,
    )  # fmt: skip
    grad_x = grad_x if reduces else grad_x.sum(0).to(x.dtype)
    return grad_a.sum(0).to(adjacency.dtype), grad_x


def _build(kernel: Any, tile: tiles.Tile, dtype: torch.dtype, short: int) -> Build:
    number = "fp32" if dtype == torch.float32 else "bf16"
    out = "fp32" if kernel in (_reduce_kernel, _expand_backward_kernel) else number
    types = {"p_a": "*fp32:16", "p_grad_a": "*fp32:16", "C": "i32:16", "rows": "i32:16"}
    types |= {"p_x": f"*{number}:16", "p_grad": f"*{number}:16"}
    types |= {"p_out": f"*{out}:16", "p_grad_x": f"*{out}:16"}
    constants = {"DOT": tile.dot, **_sizes(tile, short, 256, dtype)}
    names = [name for name in kernel.arg_names if name not in constants]
    return Build(kernel, {name: types.get(name, "i32") for name in names}, constants, tile.warps)


BUILDS = [
    _build(kernel, tile, dtype, short)
    for kernel, name in _TILE_OF.items()
    for tile in tiles.every_tile(name)
    for dtype in (torch.float32, torch.bfloat16)
    for short in (12, 32)
]
