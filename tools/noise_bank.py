"""Run the detector on rendered scenes, and keep its errors and scores for training.

    python tools/noise_bank.py --poses poses.npz --samples 10000 --out noise_bank.safetensors

`synthetic.NoiseBank.load` reads the file. Killed, it goes on from the last of its parts, which lie
beside the file while it is made.
"""

import argparse
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from bilayer_graph.body import BodyModel
from bilayer_graph.cli.numbers import positive
from bilayer_graph.detection import DetectedPerson, MoveNetDetector
from bilayer_graph.errors import InputError
from bilayer_graph.synthetic.motion import read_poses
from bilayer_graph.synthetic.noise_bank import (
    Observations,
    observe,
    read_observations,
    write_observations,
)
from bilayer_graph.synthetic.pose_bank import PoseBank
from bilayer_graph.synthetic.scenes import Scenes

# Detectors look at pictures of 256 pixels: larger ones than these only cost time.
SIZES = (
    *((256, 256), (320, 320), (320, 240), (240, 320), (384, 288), (288, 384)),
    *((216, 384), (384, 256), (384, 384)),
)
PART = 200
_POSTURES = 2000


def main(words: Sequence[str] | None = None) -> int:
    """Make the file; return the exit status."""
    arguments = parse(words)
    try:
        scenes = make_scenes(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    parts = part_paths(arguments)
    detector = MoveNetDetector.load()
    detector = detector.bfloat16() if arguments.bfloat16 else detector
    with tqdm(total=len(scenes), unit="picture", disable=None) as progress:
        for number, path in enumerate(parts):
            indices = range(len(scenes))[number * PART : (number + 1) * PART]
            if not path.exists():
                unfinished = path.with_suffix(".tmp")
                write_observations(unfinished, run(detector, scenes, indices))
                unfinished.rename(path)
            progress.update(len(indices))
    whole = join(parts)
    write_observations(arguments.out, whole)
    for path in parts:
        path.unlink()
    parts[0].parent.rmdir()
    found = (whole.scores > 0).any(1).float().mean().item()
    print(f"{len(scenes)} pictures, the person not found in {1 - found:.1%}")
    return 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--poses", type=Path, help="poses as tools/poses.py writes them")
    parser.add_argument("--leave-out", nargs="*", default=[], help="clips to keep for validation")
    parser.add_argument("--samples", type=positive, default=10000, help="number of pictures")
    parser.add_argument("--seed", type=int, default=0, help="seed of the pictures")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--bfloat16", action="store_true", help="twice as fast on newer processors")
    return parser.parse_args(words)


def make_scenes(arguments: argparse.Namespace) -> Scenes:
    """Scenes of the poses, without those of the clips that are left out."""
    body = BodyModel.load()
    motion = None
    if arguments.poses is not None:
        poses = read_poses(arguments.poses)
        unknown = sorted(set(arguments.leave_out) - set(poses.clips))
        if unknown:
            raise InputError("--leave-out", unknown, "no such clip", "Name clips of --poses")
        kept = torch.tensor([clip not in arguments.leave_out for clip in poses.clips])
        motion = poses.rotations[kept]
    bank = PoseBank(body, motion, arguments.seed, _POSTURES)
    return Scenes(body, bank, arguments.samples, SIZES, arguments.seed)


def part_paths(arguments: argparse.Namespace) -> list[Path]:
    """Paths of the parts, in a folder that only a run with the same arguments goes on with."""
    out = arguments.out.resolve()
    key = zlib.crc32(repr(sorted(vars(arguments).items())).encode())
    folder = out.with_name(f"{out.stem}-{key:08x}.parts")
    folder.mkdir(parents=True, exist_ok=True)
    return [folder / f"{start:06d}.part" for start in range(0, arguments.samples, PART)]


def run(detector: MoveNetDetector, scenes: Scenes, indices: range) -> Observations:
    """What the detector finds in some of the scenes."""
    seen = []
    for start in range(0, len(indices), 100):
        samples = scenes.__getitems__(indices[start : start + 100])
        people = detector.detect([sample["picture"] for sample in samples])
        points = torch.stack([sample["keypoints_true"] for sample in samples])
        visible = torch.stack([sample["visible"] for sample in samples])
        facing = torch.stack([sample["facing"] for sample in samples])
        pairs = zip(people, points, visible, strict=True)
        found = torch.stack([best_match(*pair) for pair in pairs])
        seen.append(observe(points, found, visible, facing))
    return Observations(*(torch.cat(part) for part in zip(*seen, strict=True)))


def best_match(people: list[DetectedPerson], points: Tensor, visible: Tensor) -> Tensor:
    """Keypoints ``[17, 3]`` of the one who is nearest to the true ones; zeros if nobody is there.

    Args:
        people: Who was found in the picture.
        points: True keypoints in its pixels, ``[17, 2]``.
        visible: Which of them count, ``[17]``.
    """
    if not people:
        return torch.zeros(17, 3)
    found = torch.stack([person.keypoints for person in people])
    distance = (found[..., :2] - points).norm(dim=-1)
    return found[(distance * visible).sum(1).argmin()]


def join(paths: list[Path]) -> Observations:
    """Read the parts as one."""
    parts = [read_observations(path) for path in paths]
    return Observations(*(torch.cat(part) for part in zip(*parts, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
