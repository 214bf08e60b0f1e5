"""The package's own detector: MoveNet MultiPose finds people, Thunder looks again at each."""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from bilayer_graph.body.mirror import mirror_keypoints
from bilayer_graph.detection.check import check_image
from bilayer_graph.detection.crops import Crop, crop_square, fit, input_size
from bilayer_graph.detection.decode import decode_people, decode_person
from bilayer_graph.detection.detector import DetectedPerson
from bilayer_graph.detection.movenet import MoveNet
from bilayer_graph.detection.suppress import distinct, joint_box, overlap, widened
from bilayer_graph.detection.turned import TURNS, consensus, turned, turned_back
from bilayer_graph.detection.weights_file import load_movenet

COARSE, FINE = 256, 512
"""Longer side of the picture in the first look for people, and at the most in the second."""

UNSURE = 0.42
"""Mean confidence of a person's joints below which one look is not enough."""

# Side of the crops that Thunder takes.
_CROP = 256
# Side of a crop against the longer side of the person's box.
_MARGIN = 1.15
# Confidence of the joints that the box of the result goes around.
_JOINT = 0.2
# Similarity of joints, and overlap of boxes, from which on two people are one.
_SAME = (0.6, 0.7)
# Overlap of the joints of both looks below which the second has drifted to somebody else.
_DRIFT = 0.2
# Length of a person, in pixels of the input, at which the network finds most.
_BEST = 190
# Sides of the second look, so that pictures share them.
_STEP = 128
# What the five surest refined joints have to reach on average, in doubt and otherwise: pictures
# without people mostly stay below 0.35, 98 % of people are above 0.39. From all sides together
# they reach up to 0.52.
_SEEN, _SEEN_SURE, _SEEN_TURNED = 0.4, 0.2, 0.55
_SUREST = 5

T = TypeVar("T")


class Found(NamedTuple):
    """People of one picture, in its pixels: ``[P, 17, 3]``, ``[P, 4]`` and ``[P]``."""

    keypoints: Tensor
    boxes: Tensor
    scores: Tensor

    def take(self, index: Tensor) -> "Found":
        """Return some of the people."""
        return Found(self.keypoints[index], self.boxes[index], self.scores[index])

    def with_more(self, more: "Found") -> "Found":
        """Return these people and others of the same picture."""
        return Found(*(torch.cat(pair) for pair in zip(self, more, strict=True)))

    def turned_back(self, quarters: int, shape: torch.Size) -> "Found":
        """Return the people of a turned picture in the picture ``[3, H, W]``."""
        height, width = shape[-2:]
        keypoints = turned_back(self.keypoints, quarters, height, width)
        corners = turned_back(self.boxes.unflatten(-1, (2, 2)), quarters, height, width)
        boxes = torch.cat([corners.amin(-2), corners.amax(-2)], dim=-1)
        return Found(keypoints, boxes, self.scores)


class MoveNetDetector(nn.Module):
    """A detector of up to six people anywhere in a picture, without a box or a download.

    Args:
        finder: The network for several people.
        refiner: The network for one person.
        threshold: Score from which on somebody is a person.
        floor: Score from which on the best of a picture is given, marked as uncertain, when
            nobody reaches the threshold.
        batch_size: Inputs of 256 x 256 pixels that pass through a network at once, and as many
            fewer larger ones, which bounds the memory.
    """

    def __init__(
        self,
        finder: MoveNet,
        refiner: MoveNet,
        threshold: float = 0.2,
        floor: float = 0.05,
        batch_size: int = 8,
    ) -> None:
        super().__init__()
        self.finder = finder
        self.refiner = refiner
        self.threshold = threshold
        self.floor = floor
        self.batch_size = batch_size

    @classmethod
    def load(cls, threshold: float = 0.2, floor: float = 0.05) -> "MoveNetDetector":
        """Build the detector with the weights that the package ships."""
        return cls(load_movenet("multipose"), load_movenet("thunder"), threshold, floor).eval()

    def forward(self, image: Tensor) -> list[DetectedPerson]:
        """Find the people in one picture ``[3, H, W]``, float RGB in [0, 1]: see :meth:`detect`."""
        return self.detect([image])[0]

    # Not in inference mode: its tensors could not be an input of what is trained.
    @torch.no_grad()
    def detect(self, images: list[Tensor]) -> list[list[DetectedPerson]]:
        """Find the people in pictures of any sizes.

        Args:
            images: Pictures ``[3, H, W]``, float, RGB in [0, 1].

        Returns:
            The people of each picture, best first, on the CPU.

        Raises:
            InputError: If something is not such a picture.
        """
        for image in images:
            check_image(image)
        images = [image.float() for image in images]
        found = self._find(images, COARSE)
        sides = [
            self._next_side(image, people) for image, people in zip(images, found, strict=True)
        ]
        for side in sorted(set(sides) - {COARSE}):
            again = [i for i in range(len(images)) if sides[i] == side]
            for i, more in zip(again, self._find([images[i] for i in again], side), strict=True):
                found[i] = found[i].with_more(more)
        doubtful = [not (people.scores >= self.threshold).any() for people in found]
        self._find_turned(images, found, doubtful)
        chosen = [self._choose(*pair) for pair in zip(found, doubtful, strict=True)]
        return self._refine(images, chosen)

    def _find_turned(self, images: list[Tensor], found: list[Found], doubtful: list[bool]) -> None:
        """Look at the pictures in which nobody is sure from the other sides, too."""
        again = [i for i in range(len(images)) if doubtful[i]]
        for quarters in TURNS:
            views = [turned(images[i], quarters) for i in again]
            for i, more in zip(again, self._find(views, COARSE), strict=True):
                found[i] = found[i].with_more(more.turned_back(quarters, images[i].shape))

    def _find(self, images: list[Tensor], side: int) -> list[Found]:
        """Find the people of each picture at a scale, pictures of the same input size together."""
        sizes = [input_size(image, side) for image in images]
        found: dict[int, Found] = {}
        for size in dict.fromkeys(sizes):
            members = [i for i, other in enumerate(sizes) if other == size]
            count = max(1, self.batch_size * COARSE**2 // (size[0] * size[1]))
            for chunk in batched(members, count):
                crops = [fit(images[i], side) for i in chunk]
                people = decode_people(*self.finder(self._stack(crops)))
                for i, crop, *values in zip(chunk, crops, *people, strict=True):
                    keypoints, boxes, scores = (value.float().cpu() for value in values)
                    corners = crop.to_picture(boxes.unflatten(-1, (2, 2))).flatten(1)
                    found[i] = Found(crop.to_picture(keypoints), corners, scores)
        return [found[i] for i in range(len(images))]

    def _next_side(self, image: Tensor, found: Found) -> int:
        """Return the side where the smallest person has the best length, or the first if larger."""
        boxes = found.boxes[found.scores >= self.threshold]
        if not len(boxes):
            return FINE
        smallest = float((boxes[:, 2:] - boxes[:, :2]).amax(-1).min())
        side = _BEST * max(image.shape[-2:]) / max(1.0, smallest)
        return min(max(round(side / _STEP) * _STEP, COARSE), FINE)

    def _choose(self, found: Found, doubtful: bool) -> tuple[Found, bool]:
        """Return the people without their duplicates, and whether they are uncertain."""
        people = found.take(distinct(*found, *_SAME))
        if not doubtful:
            return people.take(people.scores >= self.threshold), False
        best = people.take(torch.arange(1))
        return best.take(best.scores >= self.floor), True

    def _refine(
        self, images: list[Tensor], chosen: list[tuple[Found, bool]]
    ) -> list[list[DetectedPerson]]:
        """Look at each person again."""
        people: list[list[DetectedPerson]] = [[] for _ in images]
        jobs = [(i, j) for i, (found, _) in enumerate(chosen) for j in range(len(found.scores))]
        for chunk in batched(jobs, self.batch_size):
            boxes = (widened(chosen[i][0].boxes[j], _MARGIN) for i, j in chunk)
            crops = [
                crop_square(images[i], box, _CROP) for (i, _), box in zip(chunk, boxes, strict=True)
            ]
            looks = zip(*self._look_again(crops), strict=True)
            for (i, j), crop, (upright, again) in zip(chunk, crops, looks, strict=True):
                found, uncertain = chosen[i]
                if is_person(upright, again, uncertain):
                    keypoints = better(found.keypoints[j], crop.to_picture(again))
                    box, score = joint_box(keypoints, _JOINT), float(found.scores[j])
                    people[i].append(DetectedPerson(keypoints, box, score, uncertain))
        return [without_duplicates(those) for those in people]

    def look(self, crops: list[Crop]) -> tuple[Tensor, list[Tensor]]:
        """Return the keypoints ``[B, 17, 3]`` that one look at crops sees, and Thunder's maps."""
        maps, _ = self.refiner.maps(self._stack(crops))
        return decode_person(*self.refiner.read(maps)).float().cpu(), maps

    def _look_again(self, crops: list[Crop]) -> tuple[Tensor, Tensor]:
        """Return keypoints ``[B, 17, 3]`` of crops as they are, of unsure ones from all sides."""
        pixels = self._stack(crops)
        upright = self._joints(pixels)
        refined = upright.clone()
        unsure = (upright[..., 2].mean(1) < UNSURE).nonzero().squeeze(1)
        if len(unsure):
            doubtful = pixels[unsure.to(pixels.device)]
            looks = [
                turned_back(self._joints(turned(doubtful, quarters)), quarters, _CROP, _CROP)
                for quarters in TURNS
            ]
            mirrored = mirror_keypoints(self._joints(doubtful.flip(3)))
            mirrored[..., 0] += _CROP
            views = torch.stack([upright[unsure], mirrored, *looks], dim=1)
            refined[unsure] = torch.stack([consensus(view) for view in views])
        return upright, refined

    def _joints(self, pixels: Tensor) -> Tensor:
        return decode_person(*self.refiner(pixels)).float().cpu()

    def _stack(self, crops: list[Crop]) -> Tensor:
        """Stack crops as one batch on the network's device and in its precision."""
        weight = self.finder.stem.weight
        return torch.stack([crop.pixels for crop in crops]).to(weight.device, weight.dtype)


def is_person(upright: Tensor, refined: Tensor, uncertain: bool) -> bool:
    """Return whether the second looks see somebody: surest joints, as a face alone is five."""
    looks = torch.stack([upright, refined])
    first, all_sides = looks[..., 2].topk(_SUREST).values.mean(1).tolist()
    return bool(first >= (_SEEN if uncertain else _SEEN_SURE) or all_sides >= _SEEN_TURNED)


def better(first: Tensor, refined: Tensor) -> Tensor:
    """Return the refined joints, unless they are those of somebody else: then the first."""
    boxes = [joint_box(keypoints, _JOINT)[None] for keypoints in (first, refined)]
    return refined if float(overlap(*boxes)) > _DRIFT else first


def without_duplicates(people: list[DetectedPerson]) -> list[DetectedPerson]:
    """Return the people without those whose second look ended on somebody surer."""
    if len(people) < 2:
        return people
    keypoints = torch.stack([person.keypoints for person in people])
    boxes = torch.stack([person.box for person in people])
    scores = torch.tensor([person.score for person in people])
    return [people[i] for i in distinct(keypoints, boxes, scores, *_SAME).tolist()]


def batched(items: list[T], size: int) -> Iterator[list[T]]:
    """Yield pieces of a list, each of at the most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
