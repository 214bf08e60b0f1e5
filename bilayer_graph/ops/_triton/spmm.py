"""The kernel of one sparse matrix times a batch of dense ones."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from bilayer_graph.ops._triton import Build, accumulator


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


TILE = 4096
"""Most elements that a program accumulates: 32 registers a thread."""

SMALLEST_TILE = 512
"""Fewest: one 16-byte load a thread."""

PROGRAMS = 1024
"""Programs wanted, about eight for each multiprocessor of an H100; small tiles make more."""

LONG_ROW = 32
"""Average number of entries from which a program loads 16 of a row at once."""


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
    block_c = min(triton.next_power_of_2(channels), 256 // x.element_size())
    block_k = 16 if col.numel() >= LONG_ROW * rows else 1
    blocks_c = batch * triton.cdiv(channels, block_c)
    block_m = _rows_a_program(rows, blocks_c, block_k * block_c)
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
            BLOCK_K=block_k,
            BLOCK_C=block_c,
            num_warps=4,
        )
    return out


def _rows_a_program(rows: int, blocks_c: int, width: int) -> int:
    tile = TILE
    while tile > SMALLEST_TILE and blocks_c * triton.cdiv(rows * width, tile) < PROGRAMS:
        tile //= 2
    return max(tile // width, 1)


def _build(
    x: str, index: str, value: str, accumulate: tl.dtype, block_c: int, block_k: int, tile: int
) -> Build:
    pointers = {"p_rowptr": index, "p_col": index, "p_value": value, "p_x": x, "p_out": x}
    signature = {name: f"*{dtype}:16" for name, dtype in pointers.items()}
    block_m = max(tile // (block_c * block_k), 1)
    return Build(
        spmm_kernel,
        signature | {"M": "i32", "N": "i32", "C": "i32:16"},
        {"ACC": accumulate, "BLOCK_M": block_m, "BLOCK_K": block_k, "BLOCK_C": block_c},
        num_warps=4,
    )


BUILDS = [
    *(
        _build(x, "i32", "fp32", tl.float32, block_c, block_k, tile)
        for x, block_c in (("fp32", 64), ("bf16", 128))
        for block_k in (1, 16)
        for tile in (TILE, SMALLEST_TILE)
    ),
    _build("fp16", "i64", "fp16", tl.float32, 128, 1, TILE),
    _build("fp64", "i32", "fp64", tl.float64, 32, 1, TILE),
    _build("fp64", "i64", "fp64", tl.float64, 32, 16, TILE),
]
