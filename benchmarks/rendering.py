"""Measure how many pictures a second the synthetic dataset renders.

    python benchmarks/rendering.py

Whole samples (pose, mesh, picture, keypoints) in batches of 16, after one batch to warm up; the
median and the quartiles over the batches.
"""

import argparse
import platform
import sys
import time

import torch

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.predict import choose_device
from bilayer_graph.synthetic import SyntheticBodies

BATCH = 16


def main() -> int:
    """Print one line for each picture size; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 224], help="pixels")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--device", default="auto", help='"auto", "cpu" or "cuda"')
    arguments = parser.parse_args()
    try:
        device = choose_device(arguments.device)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    print(f"torch {torch.__version__}, {device} ({name}), {torch.get_num_threads()} threads")
    body = BodyModel.load().to(device)
    for size in arguments.sizes:
        dataset = SyntheticBodies(body, (arguments.batches + 1) * BATCH, size)
        rates = []
        for batch in range(arguments.batches + 1):
            start = time.perf_counter()
            dataset.batch(range(batch * BATCH, (batch + 1) * BATCH))
            if device.type == "cuda":
                torch.cuda.synchronize()
            rates.append(BATCH / (time.perf_counter() - start))
        low, median, high = (
            torch.tensor(rates[1:]).quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
        )
        print(f"{size} x {size}: {median:.0f} pictures/s (quartiles {low:.0f} and {high:.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
