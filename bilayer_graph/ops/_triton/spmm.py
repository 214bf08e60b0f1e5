"""The kernel of one sparse matrix times a batch of dense ones."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from bilayer_graph.ops._triton import Build, accumulator, tiles


@triton.jit
def spmm_kernel(
    p_rowptr, p_col, p_value, p_x, p_out, M, N, C,
    ACC: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    i_program = tl.program_id(0)
    blocks_c = tl.cdiv(C, BLOCK_C)
    blocks_m = tl.cdiv(M, BLOCK_M)
    # channels, then rows, then the batch: neighbours in time share X[b] in the cache
    i_c = i_program % blocks_c
    i_m = (i_program // blocks_c) % blocks_m
    i_b = (i_program // (blocks_c * blocks_m)).to(tl.int64)

    o_m = i_m * BLOCK_M + tl.arange(0, BLOCK_M)
    o_k = tl.arange(0, BLOCK_K)
    o_c = i_c * BLOCK_C + tl.arange(0, BLOCK_C)
    m_m = o_m < M
    m_c = o_c < C
    # [BLOCK_M]
    b_start = tl.load(p_rowptr + o_m, mask=m_m, other=0)
    b_degree = (tl.load(p_rowptr + o_m + 1, mask=m_m, other=0) - b_start).to(tl.int32)
    p_x += i_b * N * C + o_c

    # [BLOCK_M, BLOCK_K, BLOCK_C]
    b_sum = tl.zeros([BLOCK_M, BLOCK_K, BLOCK_C], dtype=ACC)
    for k in range(0, tl.max(b_degree, axis=0), BLOCK_K):
        # [BLOCK_M, BLOCK_K]
        m_k = (k + o_k)[None, :] < b_degree[:, None]
        o_e = b_start[:, None] + (k + o_k)[None, :]
        b_col = tl.load(p_col + o_e, mask=m_k, other=0).to(tl.int64)
        b_value = tl.load(p_value + o_e, mask=m_k, other=0).to(ACC)
        # [BLOCK_M, BLOCK_K, BLOCK_C]
        m_x = m_k[:, :, None] & m_c[None, None, :]
        b_x = tl.load(p_x[None, None, :] + (b_col * C)[:, :, None], mask=m_x, other=0).to(ACC)
        b_sum += b_value[:, :, None] * b_x

    # [BLOCK_M, BLOCK_C]
    b_out = tl.sum(b_sum, axis=1)
    o_out = (i_b * M + o_m)[:, None] * C + o_c[None, :]
    tl.store(p_out + o_out, b_out.to(p_out.dtype.element_ty), mask=m_m[:, None] & m_c[None, :])


_SMALLEST = 512
"""Fewest elements that a program accumulates: one 16-byte load a thread."""

_LONG_ROW = 32
"""Average number of entries from which rows have a tile of their own."""


def spmm(
    rowptr: Tensor,
    col: Tensor,
    value: Tensor,
    rowptr_t: Tensor,
    row_t: Tensor,
    perm_t: Tensor,
    perm: Tensor,
    x: Tensor,
) -> Tensor:
    """Launch the kernel; arguments and result as the operation's."""
    (batch, columns, channels), rows = x.shape, rowptr.numel() - 1
    out = x.new_empty(batch, rows, channels)
    if out.numel() == 0:
        return out
    tile = tiles.tile("spmm_long" if col.numel() >= _LONG_ROW * rows else "spmm", x.device)
    block_c = min(triton.next_power_of_2(channels), max(1, tile.width // x.element_size()))
    blocks_c = batch * triton.cdiv(channels, block_c)
    block_m = _rows_a_program(tile, rows, blocks_c, tile.depth * block_c)
    with torch.cuda.device_of(x):
        spmm_kernel[(blocks_c * triton.cdiv(rows, block_m),)](
            rowptr.contiguous(),
            col.contiguous(),
            value.contiguous(),
            x.contiguous(),
            out,
            rows,
            columns,
            channels,
            ACC=accumulator(x.dtype),
            BLOCK_M=block_m,
            BLOCK_K=tile.depth,
            BLOCK_C=block_c,
            num_warps=tile.warps,
        )
    return out


def _rows_a_program(tile: tiles.Tile, rows: int, blocks_c: int, width: int) -> int:
    size = tile.size
    while size > _SMALLEST and blocks_c * triton.cdiv(rows * width, size) < tiles.PROGRAMS:
        size //= 2
    return max(size // width, 1)


_TYPES = {
    "fp32": (4, tl.float32),
    "bf16": (2, tl.float32),
    "fp16": (2, tl.float32),
    "fp64": (8, tl.float64),
}
"""Bytes of a number, and what sums of it are kept in."""


def _build(x: str, index: str, value: str, tile: tiles.Tile, size: int) -> Build:
    pointers = {"p_rowptr": index, "p_col": index, "p_value": value, "p_x": x, "p_out": x}
    signature = {name: f"*{dtype}:16" for name, dtype in pointers.items()}
    number, accumulate = _TYPES[x]
    block_c = tile.width // number
    block_m = max(size // (block_c * tile.depth), 1)
    return Build(
        spmm_kernel,
        signature | {"M": "i32", "N": "i32", "C": "i32:16"},
        {"ACC": accumulate, "BLOCK_M": block_m, "BLOCK_K": tile.depth, "BLOCK_C": block_c},
        num_warps=tile.warps,
    )


_TILES = [*tiles.every_tile("spmm"), *tiles.every_tile("spmm_long")]

BUILDS = [
    *(
        _build(x, "i32", "fp32", tile, size)
        for x in ("fp32", "bf16")
        for tile in _TILES
        for size in (tile.size, _SMALLEST)
    ),
    *(_build("fp16", "i64", "fp16", tile, tile.size) for tile in _TILES),
    *(
        _build("fp64", index, "fp64", tile, tile.size)
        for tile in _TILES
        for index in ("i32", "i64")
    ),
]
