"""Measure which tiles suit the CUDA kernels on this kind of GPU, and add them to the table.

    python tools/tune_tiles.py

Every candidate is checked on each problem before it is timed. A tile replaces the default if it is
faster in the geometric mean over the problems of its kernel, at the sizes of the paper. It takes
some minutes; kinds of GPU that the table does not name use its default.
"""

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.graphs import mesh_graph
from bilayer_graph.models.template import body_template
from bilayer_graph.ops import SparseMatrix, reference, sparse_matrix
from bilayer_graph.predict import choose_device
from bilayer_graph.testing import assert_close, sample_bipartite, sample_features

try:
    from bilayer_graph.ops._triton import tiles
    from bilayer_graph.ops._triton.fusion_product import fusion_product, fusion_product_backward
    from bilayer_graph.ops._triton.group_norm import group_norm
    from bilayer_graph.ops._triton.sddmm import sddmm
    from bilayer_graph.ops._triton.spmm import spmm
except ImportError:  # no Triton on this system
    tiles = None  # type: ignore[assignment]

# A candidate has to be that much faster: timings of one kernel differ by less.
_GAIN = 0.97

JOINTS, VERTICES = 12, 1723
BATCHES, CHANNELS = (1, 16), (64, 256)
DTYPES = torch.float32, torch.bfloat16


class Problem(NamedTuple):
    """A call of a kernel.

    Attributes:
        run: Calls it.
        expected: What it should return first.
    """

    run: Callable[[], Tensor]
    expected: Tensor


class Size(NamedTuple):
    """The features of a problem."""

    batch: int
    channels: int
    dtype: torch.dtype
    device: torch.device

    def features(self, nodes: int, seed: int = 0) -> Tensor:
        """Return random features on the CPU."""
        return sample_features(self.batch, nodes, self.channels, seed=seed, dtype=self.dtype)


Problems = Callable[[Size], Problem]


def main(words: Sequence[str] | None = None) -> int:
    """Tune the kernels and write the table; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kernels", nargs="+", choices=sorted(CANDIDATES), default=None)
    arguments = parser.parse_args(words)
    try:
        device = choose_device("cuda")
        if tiles is None:
            raise InputError("triton", None, "cannot be imported", "Install it")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    makers = problems()
    found = {}
    for kernel in arguments.kernels or sorted(CANDIDATES):
        posed = [makers[kernel](size) for size in sizes(device)]
        best, share = tune(kernel, posed, candidates(kernel), device, milliseconds)
        found[kernel] = best
        print(f"{kernel}: {best}, {share:.2f} of the default's time")
    write(tiles.TABLE, tiles.kind(device), found)
    return 0


def sizes(device: torch.device) -> list[Size]:
    """Return the sizes of a kernel's problems."""
    return [Size(*each, device) for each in itertools.product(BATCHES, CHANNELS, DTYPES)]


_WARPS, _ONE, _DOTS = (4, 8), (1,), ("ieee", "tf32x3")

# Sizes, bytes of a row, warps, entries at once and products to choose from.
CANDIDATES: dict[str, tuple[Sequence[Any], ...]] = {
    "group_norm": ((1024, 2048, 4096), (128, 256, 512), _WARPS),
    "spmm": ((2048, 4096, 8192), (256, 512, 1024), _WARPS, (1, 2, 4, 8)),
    "spmm_long": ((2048, 4096, 8192), (128, 256, 512), _WARPS, (8, 16, 32)),
    "sddmm": ((1024, 2048, 4096), (128, 256, 512), _WARPS),
    "fusion_reduce": ((512, 1024, 2048), (128, 256, 512), _WARPS, _ONE, _DOTS),
    "fusion_expand": ((512, 1024, 2048), (128, 256, 512), _WARPS, _ONE, _DOTS),
    "fusion_reduce_backward": ((512, 1024, 2048), (128, 256), _WARPS, _ONE, _DOTS),
    "fusion_expand_backward": ((512, 1024, 2048), (128, 256), _WARPS, _ONE, _DOTS),
}


def candidates(kernel: str) -> list["tiles.Tile"]:
    """Return all tiles to try of a kernel."""
    return [tiles.Tile(*each) for each in itertools.product(*CANDIDATES[kernel])]


def tune(
    kernel: str,
    posed: Sequence[Problem],
    choices: Iterable["tiles.Tile"],
    device: torch.device,
    clock: Callable[[Callable[[], Tensor]], float],
) -> tuple["tiles.Tile", float]:
    """Return the best tile of a kernel, and its time over that of the default.

    Args:
        kernel: Its name in the table.
        posed: What it is measured on.
        choices: The tiles; one that fails or is wrong on any problem is left out.
        device: Where the problems are.
        clock: From a call to its time.
    """
    table = tiles.table()
    row = table.setdefault(tiles.kind(device), dict(table["default"]))
    row[kernel] = default = table["default"][kernel]
    base = [clock(problem.run) for problem in posed]
    best, share = default, _GAIN
    for choice in choices:
        row[kernel] = choice
        if not all(map(is_right, posed)):
            continue
        times = [clock(problem.run) for problem in posed]
        ratios = [math.log(time / other) for time, other in zip(times, base, strict=True)]
        mean = math.exp(sum(ratios) / len(ratios))
        if mean < share:
            best, share = choice, mean
    row[kernel] = best
    return best, share if best != default else 1.0


def is_right(problem: Problem) -> bool:
    """Return whether a kernel runs and is right."""
    try:
        assert_close(problem.run(), problem.expected)
    except Exception:  # too many registers, too much shared memory, wrong: no candidate
        return False
    return True


def milliseconds(run: Callable[[], Tensor]) -> float:
    """Return the median time of a call on a GPU."""
    from triton.testing import do_bench

    return float(do_bench(run, warmup=5, rep=20, return_mode="median"))


def write(path: Path, kind: str, found: dict[str, "tiles.Tile"]) -> None:
    """Write tiles of a kind of GPU into the table; what equals the default is left out."""
    kinds = json.loads(path.read_text())
    row = kinds.get(kind, {})
    for kernel, tile in found.items():
        fields = {
            name: value
            for name, value in tile._asdict().items()
            if value != tile._field_defaults.get(name)
        }
        row.pop(kernel, None)
        if fields != kinds["default"][kernel]:
            row[kernel] = fields
    kinds[kind] = row
    rows = [
        f'  "{name}": {{\n' + ",\n".join(f'    "{k}": {json.dumps(v)}' for k, v in kernels.items())
        + "\n  }"
        for name, kernels in kinds.items()
    ]  # fmt: skip
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n")


def problems() -> dict[str, Problems]:
    """Return what each kernel is measured on: 12 joints and 1723 vertices."""
    faces = body_template(BodyModel.load(), VERTICES).faces
    mesh = sparse_matrix(*mesh_graph(faces, VERTICES), (VERTICES, VERTICES))[0]
    pair = VERTICES, JOINTS
    across = sparse_matrix(*sample_bipartite(pair), pair)[0]
    wide = sample_features(JOINTS, VERTICES, seed=1)
    long = wide.t().contiguous()
    return {
        "group_norm": _group_norm,
        "spmm": partial(_spmm, mesh),
        "spmm_long": partial(_spmm, across),
        "sddmm": partial(_sddmm, mesh),
        "fusion_reduce": partial(_fusion, wide),
        "fusion_expand": partial(_fusion, long),
        "fusion_reduce_backward": partial(_fusion_backward, wide),
        "fusion_expand_backward": partial(_fusion_backward, long),
    }


def _group_norm(size: Size) -> Problem:
    x = size.features(VERTICES)
    weight, bias = (sample_features(size.channels, seed=seed) for seed in (1, 2))
    groups, rest = size.channels // 8, (1e-5, True)
    expected = reference.group_norm(x.double(), groups, weight.double(), bias.double(), *rest)
    x, weight, bias = (tensor.to(size.device) for tensor in (x, weight, bias))
    return Problem(lambda: group_norm(x, groups, weight, bias, *rest)[0], expected)


def _spmm(matrix: SparseMatrix, size: Size) -> Problem:
    x = size.features(matrix.shape[1])
    expected = reference.spmm(_wide(matrix), x.double())
    there, moved = _moved(matrix, size.device), x.to(size.device)
    return Problem(lambda: spmm(*there, moved), expected)


def _sddmm(matrix: SparseMatrix, size: Size) -> Problem:
    left, right = (size.features(nodes, seed) for seed, nodes in enumerate(matrix.shape))
    expected = reference.sddmm(_wide(matrix), left.double(), right.double())
    given = *_moved(matrix, size.device), left.to(size.device), right.to(size.device)
    return Problem(lambda: sddmm(*given), expected)


def _fusion(adjacency: Tensor, size: Size) -> Problem:
    x = size.features(adjacency.size(1))
    expected = reference.fusion_product(adjacency.double(), x.double())
    given = adjacency.to(size.device), x.to(size.device)
    return Problem(lambda: fusion_product(*given), expected)


def _fusion_backward(adjacency: Tensor, size: Size) -> Problem:
    grad, x = (size.features(nodes, seed) for seed, nodes in enumerate(adjacency.shape))
    expected = adjacency.double().t() @ grad.double()
    given = adjacency.to(size.device), x.to(size.device), grad.to(size.device)
    return Problem(lambda: fusion_product_backward(*given)[1], expected)


def _wide(matrix: SparseMatrix) -> SparseMatrix:
    return matrix._replace(value=matrix.value.double())


def _moved(matrix: SparseMatrix, device: torch.device) -> SparseMatrix:
    return SparseMatrix(*(tensor.to(device) for tensor in matrix))


if __name__ == "__main__":
    sys.exit(main())
