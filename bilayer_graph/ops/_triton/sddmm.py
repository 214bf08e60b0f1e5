"""The kernel of the dense products at the entries of one sparse matrix."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from bilayer_graph.ops._triton import Build, accumulator, tiles


@triton.jit
def sddmm_kernel(
    p_col, p_row_t, p_perm, p_left, p_right, p_out, B, M, N, C, E, ITEMS,
    ACC: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    i_program = tl.program_id(0)
    blocks_e = tl.cdiv(E, BLOCK_E)
    i_e = i_program % blocks_e
    i_part = (i_program // blocks_e).to(tl.int64)

    o_e = i_e * BLOCK_E + tl.arange(0, BLOCK_E)
    o_c = tl.arange(0, BLOCK_C)
    m_e = o_e < E
    # [BLOCK_E]
    b_col = tl.load(p_col + o_e, mask=m_e, other=0).to(tl.int64)
    b_row = tl.load(p_row_t + tl.load(p_perm + o_e, mask=m_e, other=0), mask=m_e, other=0)
    b_row = b_row.to(tl.int64)

    # [BLOCK_E, BLOCK_C]
    b_sum = tl.zeros([BLOCK_E, BLOCK_C], dtype=ACC)
    for i_b in range(i_part * ITEMS, tl.minimum((i_part + 1) * ITEMS, B)):
        o_left = (i_b * M + b_row)[:, None] * C + o_c[None, :]
        o_right = (i_b * N + b_col)[:, None] * C + o_c[None, :]
        for c in range(0, C, BLOCK_C):
            m_ec = m_e[:, None] & (c + o_c < C)[None, :]
            b_left = tl.load(p_left + o_left + c, mask=m_ec, other=0).to(ACC)
            b_right = tl.load(p_right + o_right + c, mask=m_ec, other=0).to(ACC)
            b_sum += b_left * b_right

    # [BLOCK_E]
    tl.store(p_out + i_part * E + o_e, tl.sum(b_sum, axis=1), mask=m_e)


def sddmm(
    rowptr: Tensor,
    col: Tensor,
    value: Tensor,
    rowptr_t: Tensor,
    row_t: Tensor,
    perm_t: Tensor,
    perm: Tensor,
    left: Tensor,
    right: Tensor,
) -> Tensor:
    """Launch the kernel; arguments and result as the operation's."""
    (batch, rows, channels), entries = left.shape, col.numel()
    if left.numel() == 0 or entries == 0:
        return value.new_zeros(entries)
    tile = tiles.tile("sddmm", left.device)
    block_c = min(triton.next_power_of_2(channels), max(1, tile.width // left.element_size()))
    block_e = max(1, tile.size // block_c)
    blocks_e = triton.cdiv(entries, block_e)
    items = triton.cdiv(batch, min(batch, triton.cdiv(tiles.PROGRAMS, blocks_e)))
    parts = triton.cdiv(batch, items)
    # Each part of the batch writes its own sums, so that nothing has to be added atomically.
    out = left.new_empty(parts, entries, dtype=torch.promote_types(left.dtype, torch.float32))
    with torch.cuda.device_of(left):
        sddmm_kernel[(blocks_e * parts,)](
            col.contiguous(),
            row_t.contiguous(),
            perm.contiguous(),
            left.contiguous(),
            right.contiguous(),
            out,
            batch,
            rows,
            right.size(1),
            channels,
            entries,
            items,
            ACC=accumulator(left.dtype),
            BLOCK_E=block_e,
            BLOCK_C=block_c,
            num_warps=tile.warps,
        )
    return out.sum(dim=0).to(value.dtype)


def _build(features: str, index: str, accumulate: tl.dtype, number: int, tile: tiles.Tile) -> Build:
    pointers = {"p_col": index, "p_row_t": index, "p_perm": index}
    pointers |= {"p_left": features, "p_right": features, "p_out": accumulate.name}
    sizes = {"B": "i32", "M": "i32", "N": "i32", "C": "i32:16", "E": "i32", "ITEMS": "i32"}
    block_c = tile.width // number
    return Build(
        sddmm_kernel,
        {name: f"*{dtype}:16" for name, dtype in pointers.items()} | sizes,
        {"ACC": accumulate, "BLOCK_E": tile.size // block_c, "BLOCK_C": block_c},
        num_warps=tile.warps,
    )


BUILDS = [
    _build(*kind, tile)
    for tile in tiles.every_tile("sddmm")
    for kind in (
        ("fp32", "i32", tl.float32, 4),
        ("bf16", "i32", tl.float32, 2),
        ("fp16", "i64", tl.float32, 2),
        ("fp64", "i32", tl.float64, 8),
    )
]
