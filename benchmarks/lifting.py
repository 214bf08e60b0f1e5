"""What each part of the small model is worth: short trainings on equal samples, one change each.

    python benchmarks/lifting.py
    python benchmarks/lifting.py --steps 1000 --poses poses.npz --hold-out 02_03 05_10

Every row is trained from the same seed on the same samples, without pictures and meshes, and
measured on held-out people with true and with noisy 2D keypoints, as the model answers and refined
to skeleton and keypoints. One seed: differences of 2 mm are noise. --rows chooses among them.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import torch

from bilayer_graph.body import BodyModel
from bilayer_graph.cli.main import exit_status
from bilayer_graph.cli.numbers import positive
from bilayer_graph.cli.train import HELD_OUT_SEED, read_motion
from bilayer_graph.models import SMALL, BilayerHMR, ModelConfig, assemble_model
from bilayer_graph.synthetic import GeometrySamples, PoseBank
from bilayer_graph.training.lifted_errors import lifted_errors
from bilayer_graph.training.lifting import parameter_groups, skeleton_terms, warm_up_hold_decay

BATCH, LEARNING_RATE, HELD_OUT = 512, 1.5e-3, 1000

PLAIN = dataclasses.replace(
    SMALL, norm="group", joint_input="node", face=False, channels=128, hidden=768
)
CONFIGS: dict[str, ModelConfig] = {
    "each joint sees itself, GroupNorm, width 128": PLAIN,
    "each joint sees all 12": dataclasses.replace(PLAIN, joint_input="pose"),
    "LayerNorm": dataclasses.replace(PLAIN, joint_input="pose", norm="layer"),
    "width 64": dataclasses.replace(SMALL, face=False),
    "17 keypoints: small": SMALL,
}


def main() -> int:
    """Train and measure every row; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=positive, default=300, help="optimisation steps a row")
    parser.add_argument("--poses", type=Path, help="real poses, as tools/poses.py writes")
    parser.add_argument("--hold-out", nargs="*", default=[], metavar="CLIP")
    parser.add_argument("--rows", nargs="*", choices=list(CONFIGS), default=list(CONFIGS))
    arguments = parser.parse_args()
    return exit_status(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> int:
    """Train and measure every row."""
    body = BodyModel.load()
    motion, held_out = read_motion(arguments.poses, arguments.hold_out)
    poses = PoseBank(body, motion, seed=1)
    others = PoseBank(body, held_out, seed=HELD_OUT_SEED, postures=4000)
    print(
        f"{arguments.steps * BATCH} samples a row; mm: MPJPE / PA-MPJPE / PVE, true 2D | noisy 2D"
    )
    for name in arguments.rows:
        torch.manual_seed(0)
        model = assemble_model(CONFIGS[name], body)
        start = time.process_time()
        train(model, body, poses, arguments.steps)
        seconds = time.process_time() - start
        print(f"{name:<46} {measure(model, body, others, refine=False)}  {seconds:.0f} CPU s")
        print(f"{'  refined':<46} {measure(model, body, others, refine=True)}")
    return 0


def train(model: BilayerHMR, body: BodyModel, poses: PoseBank, steps: int) -> None:
    """Train the skeleton graph and the body for some steps."""
    samples = GeometrySamples(body, model.vertex_index, poses, BATCH, steps, seed=1)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01), lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warm_up_hold_decay(step, steps)
    )
    for number in range(steps):
        batch = samples[number]
        keypoints = model.from_coco(batch["keypoints"])
        with torch.autocast("cpu", torch.bfloat16):
            terms = skeleton_terms(model.forward_skeleton(keypoints), batch)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def measure(model: BilayerHMR, body: BodyModel, poses: PoseBank, refine: bool) -> str:
    """Return the errors with true and with noisy keypoints, averaged with the mirrored person."""
    model.eval()
    cells = []
    for noise in (False, True):
        samples = GeometrySamples(
            body, model.vertex_index, poses, HELD_OUT, 1, HELD_OUT_SEED, noise
        )
        errors = lifted_errors(model, body, samples[0], refine=refine)
        names = ("MPJPE", "PA-MPJPE", "PVE")
        cells.append(" / ".join(f"{errors[name].mean():5.1f}" for name in names))
    model.train()
    return " | ".join(cells)


if __name__ == "__main__":
    sys.exit(main())
