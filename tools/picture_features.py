"""Keep what the detector and the frozen encoder see of rendered scenes, for training.

    python tools/picture_features.py --poses poses.npz --hold-out CLIPS --samples 10000 --out FOLDER

``bilayer-graph train --pictures FOLDER`` reads the folder: ``train`` has the people to train on,
``held_out`` those of the clips that are for validation only. The detector's errors on the first are
in ``noise_bank.safetensors``, for ``train --noise-bank``. Killed, it goes on from the last part.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from bilayer_graph.body import BodyModel
from bilayer_graph.cli.numbers import positive
from bilayer_graph.cli.train import HELD_OUT_SEED, read_motion
from bilayer_graph.detection import DetectedPerson, MoveNetDetector
from bilayer_graph.errors import InputError
from bilayer_graph.models import MoveNetEncoder
from bilayer_graph.models.lifting import coco_patches
from bilayer_graph.models.movenet_encoder import PICTURE
from bilayer_graph.pictures import as_image, crop_image, keypoints_box, limbs, to_crop
from bilayer_graph.pictures.box import MIN_EXTENT, shows_picture, visible_extent
from bilayer_graph.synthetic.cached_pictures import PicturedPeople, read_people, write_people
from bilayer_graph.synthetic.figures import facing
from bilayer_graph.synthetic.noise_bank import Observations, observe, write_observations
from bilayer_graph.synthetic.pose_bank import PoseBank
from bilayer_graph.synthetic.scenes import Scenes
from bilayer_graph.training.picture_errors import box_side

# Detectors look at pictures of 256 pixels: larger ones than these only cost time.
SIZES = (
    *((256, 256), (320, 320), (320, 240), (240, 320), (384, 288), (288, 384)),
    *((216, 384), (384, 256), (384, 384)),
)
PART = 200
BANK = "noise_bank.safetensors"
# Pictures in memory at once, and crops that pass through the encoder together.
_PICTURES, _CROPS = 50, 10
_POSTURES = 8000

Sample = dict[str, Tensor]


def main(words: Sequence[str] | None = None) -> int:
    """Make the folder; return the exit status."""
    arguments = parse(words)
    try:
        training, held_out = make_scenes(arguments)
        prepare(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    detector, encoder = MoveNetDetector.load(), MoveNetEncoder()
    if arguments.bfloat16:
        detector, encoder = detector.bfloat16(), encoder.bfloat16()
    for name, scenes in (("held_out", held_out), ("train", training)):
        write_parts(arguments.out / name, scenes, detector, encoder)
    people = read_people(arguments.out / "train")
    write_observations(arguments.out / BANK, detector_errors(people))
    missed = 1 - len(people.focal) / len(training)
    print(f"{len(training)} pictures, the person not found in {missed:.1%}")
    return 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--poses", type=Path, help="poses as tools/poses.py writes them")
    parser.add_argument("--hold-out", nargs="*", default=[], help="clips for validation only")
    parser.add_argument("--samples", type=positive, default=10000, help="pictures to train on")
    parser.add_argument("--held-out", type=positive, default=800, help="pictures for validation")
    parser.add_argument("--seed", type=int, default=0, help="seed of the pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--bfloat16", action="store_true", help="twice as fast on newer processors")
    return parser.parse_args(words)


def make_scenes(arguments: argparse.Namespace) -> tuple[Scenes, Scenes]:
    """Make scenes to train on, and those that are held out."""
    body = BodyModel.load()
    motion, held_out = read_motion(arguments.poses, arguments.hold_out)
    seed, other = arguments.seed, HELD_OUT_SEED + arguments.seed
    bank = PoseBank(body, motion, seed, _POSTURES)
    other_bank = PoseBank(body, held_out, other, _POSTURES // 2)
    return (
        Scenes(body, bank, arguments.samples, SIZES, seed),
        Scenes(body, other_bank, arguments.held_out, SIZES, other),
    )


def prepare(arguments: argparse.Namespace) -> None:
    """Make the folder, or check that it holds parts of the same pictures.

    Raises:
        InputError: If it holds those of other settings.
    """
    settings = {name: str(value) for name, value in vars(arguments).items() if name != "out"}
    said = arguments.out / "settings.json"
    if said.exists() and json.loads(said.read_text()) != settings:
        remedy = "Give another folder, or the settings in its settings.json"
        raise InputError("--out", arguments.out, "holds pictures of other settings", remedy)
    for name in ("train", "held_out"):
        (arguments.out / name).mkdir(parents=True, exist_ok=True)
    said.write_text(json.dumps(settings, indent=1))


def write_parts(
    folder: Path, scenes: Scenes, detector: MoveNetDetector, encoder: MoveNetEncoder
) -> None:
    """Write the parts that a folder lacks."""
    with tqdm(total=len(scenes), unit="picture", desc=folder.name, disable=None) as progress:
        for first in range(0, len(scenes), PART):
            indices = range(len(scenes))[first : first + PART]
            path = folder / f"{first:06d}.safetensors"
            if not path.exists():
                write_people(path, look(scenes, indices, detector, encoder))
            progress.update(len(indices))


def look(
    scenes: Scenes, indices: range, detector: MoveNetDetector, encoder: MoveNetEncoder
) -> PicturedPeople:
    """Return those who are found in some of the scenes."""
    seen: list[PicturedPeople] = []
    for start in range(0, len(indices), _PICTURES):
        samples = scenes.__getitems__(indices[start : start + _PICTURES])
        people = detector.detect([sample["picture"] for sample in samples])
        pairs = [
            (sample, best_match(those, sample["keypoints_true"], sample["visible"]))
            for sample, those in zip(samples, people, strict=True)
        ]
        kept = [pair for pair in pairs if is_found(*pair)]
        seen += [
            as_people(kept[chunk : chunk + _CROPS], encoder)
            for chunk in range(0, len(kept), _CROPS)
        ]
    return PicturedPeople(*(torch.cat(values) for values in zip(*seen, strict=True)))


def detector_errors(people: PicturedPeople) -> Observations:
    """Return what the detector made of those who were found."""
    return observe(people.true, people.keypoints, people.visible, facing(people.rotations))


def best_match(people: list[DetectedPerson], points: Tensor, visible: Tensor) -> Tensor:
    """Return the keypoints ``[17, 3]`` nearest to the true ones; zeros if nobody is there.

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


def is_found(sample: Sample, keypoints: Tensor) -> bool:
    """Return whether it is this person who was found, with joints enough for a crop."""
    true, visible = sample["keypoints_true"], sample["visible"]
    centre, extent = visible_extent(limbs(keypoints))
    height, width = sample["picture"].shape[-2:]
    if not visible.any() or not extent >= MIN_EXTENT:
        return False
    apart = (keypoints[:, :2] - true).norm(dim=-1)[visible].mean()
    return bool(apart < box_side(true) / 2) and bool(shows_picture(centre, extent, (width, height)))


@torch.no_grad()
def as_people(pairs: list[tuple[Sample, Tensor]], encoder: MoveNetEncoder) -> PicturedPeople:
    """Return people with what the encoder sees in the crops that a predictor makes of them."""
    samples = [sample for sample, _ in pairs]
    keypoints = torch.stack([found for _, found in pairs])
    centre, side = keypoints_box(keypoints)
    pictures = [as_image(sample["picture"]) for sample in samples]
    crops = [
        crop_image(picture, middle, length, PICTURE)
        for picture, middle, length in zip(pictures, centre, side, strict=True)
    ]
    maps, _ = encoder(torch.stack(crops))
    points = torch.cat([to_crop(keypoints[..., :2], centre, side), keypoints[..., 2:]], dim=-1)

    def labels(name: str) -> Tensor:
        return torch.stack([sample[name] for sample in samples])

    return PicturedPeople(
        keypoints=keypoints,
        patches=coco_patches(maps, points).half(),
        joints=labels("joints"),
        rotations=labels("rotations"),
        betas=labels("betas"),
        focal=labels("focal"),
        size=torch.tensor([picture.size for picture in pictures], dtype=torch.float32),
        true=labels("keypoints_true"),
        visible=labels("visible"),
    )


if __name__ == "__main__":
    sys.exit(main())
