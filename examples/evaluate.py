"""Measure a checkpoint on held-out synthetic pictures, beside the mean body.

    python examples/evaluate.py
    python examples/evaluate.py --weights runs/train/model.safetensors

The pictures come from another seed than any training set. Errors in millimetres, mean and median
over the pictures, with the 95 % interval of the mean.
"""

import argparse
import sys
from pathlib import Path

from torch.utils.data import DataLoader

from bilayer_graph.body import BodyModel
from bilayer_graph.command_line import positive
from bilayer_graph.data import SyntheticBodies
from bilayer_graph.errors import InputError
from bilayer_graph.models import SHIPPED_WEIGHTS, BilayerHMR, load_model
from bilayer_graph.training.evaluation import ERROR_NAMES, MeanBody, evaluate

HELD_OUT_SEED = 1_000_003
MEAN_SEED = 1_000_004
MEAN_SAMPLES = 1024


def main() -> int:
    """Evaluate; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=SHIPPED_WEIGHTS, help="checkpoint")
    parser.add_argument("--body", type=Path, help="body file with SMPL's fields")
    parser.add_argument("--samples", type=positive, default=2048, help="held-out pictures")
    arguments = parser.parse_args()
    try:
        body = BodyModel.load(arguments.body)
        print_errors(load_model(arguments.weights, body), body, arguments.samples)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def print_errors(model: BilayerHMR, body: BodyModel, samples: int) -> None:
    """Print the held-out errors of a model and of the mean body."""
    held_out = SyntheticBodies(body, samples, model.image_size, HELD_OUT_SEED)
    drawn = SyntheticBodies(body, MEAN_SAMPLES, 16, MEAN_SEED).batch(range(MEAN_SAMPLES))
    mean = MeanBody(drawn["joints"].mean(0), drawn["vertices"].mean(0))
    # A worker renders with one thread; the network has the others.
    loader = DataLoader(held_out, batch_size=32, num_workers=1)
    print(f"Held-out errors in mm over {samples} pictures: mean ± 95 % interval (median)")
    for name, errors in evaluate(model, body, loader, mean).items():
        print(f"  {name}")
        for key, error in errors.items():
            interval = 1.96 * error.std() / len(error) ** 0.5
            value = f"{error.mean():6.1f} ± {interval:.1f} ({error.median():.1f})"
            print(f"    {ERROR_NAMES[key]:<14} {value}")


if __name__ == "__main__":
    sys.exit(main())
