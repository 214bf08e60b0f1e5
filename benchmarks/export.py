"""What precisions of the exported model cost and save, on rendered held-out people.

    python benchmarks/export.py

Every row is the shipped model as an ONNX file through onnxruntime on a CPU, compared with torch in
float32 (of bfloat16 torch itself, since onnxruntime has few operations in it there): the size of
the file, how far the mesh's vertices and the skeleton's joints move on average and at most, and the
time against that of eager torch in the same run, one thread each.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from bilayer_graph.body import BodyModel, project
from bilayer_graph.cli.main import exit_status
from bilayer_graph.cli.numbers import positive
from bilayer_graph.cli.train import HELD_OUT_SEED
from bilayer_graph.export import PRECISIONS, export_model
from bilayer_graph.export.precision import in_precision
from bilayer_graph.models import BilayerHMR, load_model
from bilayer_graph.synthetic import SyntheticBodies

BATCH, ROUNDS = 4, 5


def main() -> int:
    """Measure every precision; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=positive, default=64, help="rendered people")
    parser.add_argument("--precisions", nargs="*", choices=PRECISIONS, default=PRECISIONS)
    arguments = parser.parse_args()
    return exit_status(lambda: run(arguments))


@torch.no_grad()
def run(arguments: argparse.Namespace) -> int:
    """Print a row a precision."""
    torch.set_num_threads(1)
    body = BodyModel.load()
    model = load_model(body=body)
    batches = _people(body, model.image_size, arguments.people)
    expected = [model(*batch) for batch in batches]
    wanted = [
        torch.cat([getattr(out, name) for out in expected]) for name in ("vertices", "joints")
    ]
    print(f"{arguments.people} people; mm from float32 torch: mean / most of vertices, of joints")
    for precision in arguments.precisions:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            export_model(model, path, precision)
            print(f"  {precision:<9} {path.stat().st_size / 2**20:5.1f} MB", end="  ", flush=True)
            call = _torch(model) if precision == "bfloat16" else _session(path)
            found = [call(batch) for batch in batches]
            ratio = _seconds(partial(call, batches[0])) / _seconds(partial(model, *batches[0]))
        moved = [
            1000 * (torch.cat(parts) - true).norm(dim=-1)
            for parts, true in zip(zip(*found, strict=True), wanted, strict=True)
        ]
        print("  ".join(f"{one.mean():.3f} / {one.max():.2f}" for one in moved), end="  ")
        print(f"{ratio:.2f} of torch's time", flush=True)
    return 0


def _people(body: BodyModel, side: int, number: int) -> list[tuple[Tensor, Tensor]]:
    """Return crops and COCO's keypoints, as they are seen without a detector's errors."""
    samples = SyntheticBodies(body, number, side, HELD_OUT_SEED).batch(range(number))
    points = project(body.keypoints(samples["vertices"]), samples["camera"])
    keypoints = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)
    return list(zip(samples["image"].split(BATCH), keypoints.split(BATCH), strict=True))


def _session(path: Path) -> Callable[[tuple[Tensor, Tensor]], tuple[Tensor, ...]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def call(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        inputs = {"image": batch[0].numpy(), "keypoints": batch[1].numpy()}
        return tuple(map(torch.from_numpy, session.run(["vertices", "joints"], inputs)))

    return call


def _torch(model: BilayerHMR) -> Callable[[tuple[Tensor, Tensor]], tuple[Tensor, ...]]:
    """Return torch in bfloat16: onnxruntime has few operations in it on a CPU."""
    narrow = in_precision(model, "bfloat16")

    def call(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        out = narrow(*batch)
        return out.vertices, out.joints

    return call


def _seconds(call: Callable[[], object]) -> float:
    """Return the median processor time of this thread: other programs do not count."""
    call()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return float(np.median(times))


if __name__ == "__main__":
    sys.exit(main())
