"""The package's own detector: MoveNet MultiPose finds people, Thunder looks again at each."""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from bilayer_graph.detection.crops import Crop, crop_square, fit, input_size
from bilayer_graph.detection.decode import decode_people, decode_person
from bilayer_graph.detection.detector import DetectedPerson
from bilayer_graph.detection.movenet import MoveNet
from bilayer_graph.detection.suppress import distinct, joint_box, overlap
from bilayer_graph.detection.weights_file import load_movenet
from bilayer_graph.errors import InputError

COARSE, FINE = 256, 512
"""Longer side of the picture in the first look for people, and in the second."""

# Side of the crops that Thunder takes.
_CROP = 256
_MARGIN = 1.25
# Confidence of the joints that span a person's box.
_JOINT = 0.2
_SAME = (0.6, 0.7)
_DRIFT = 0.2
# People shorter than this share of the picture's longer side call for a second look.
_SMALL = 0.4

T = TypeVar("T")


class Found(NamedTuple):
    """People of one picture: keypoints ``[P, 17, 3]`` in its pixels, and scores ``[P]``."""

    keypoints: Tensor
    scores: Tensor


class MoveNetDetector(nn.Module):
    """Finds up to six people anywhere in a picture; no box is needed, nothing is downloaded.

    Args:
        finder: The network for several people.
        refiner: The network for one person.
        threshold: Score from which on somebody is a person.
        floor: Score from which on the best of a picture is given, marked as uncertain, when
            nobody reaches the threshold.
        batch_size: Inputs that pass through a network at once, which bounds the memory.
    """

    def __init__(
        self,
        finder: MoveNet,
        refiner: MoveNet,
        threshold: float = 0.25,
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
    def load(cls, threshold: float = 0.25, floor: float = 0.05) -> "MoveNetDetector":
        """Build the detector with the weights that the package ships."""
        return cls(load_movenet("multipose"), load_movenet("thunder"), threshold, floor).eval()

    def forward(self, image: Tensor) -> list[DetectedPerson]:
        """Find the people in one picture ``[3, H, W]``, float RGB in [0, 1]: see :meth:`detect`."""
        return self.detect([image])[0]

    @torch.inference_mode()
    def detect(self, images: list[Tensor]) -> list[list[DetectedPerson]]:
        """Find the people in pictures of any sizes.

        Args:
            images: Pictures ``[3, H, W]``, float, RGB in [0, 1].

        Returns:
            The people of each picture, best first, on the CPU.

        Raises:
            InputError: Something is not such a picture.
        """
        for image in images:
            check_image(image)
        found = self._find(images, COARSE)
        again = [i for i in range(len(images)) if self._look_again(images[i], found[i])]
        for i, more in zip(again, self._find([images[i] for i in again], FINE), strict=True):
            found[i] = Found(*(torch.cat(pair) for pair in zip(found[i], more, strict=True)))
        return self._refine(images, [self._choose(people) for people in found])

    def _find(self, images: list[Tensor], side: int) -> list[Found]:
        """People of each picture at a scale, pictures of the same input size together."""
        sizes = [input_size(image, side) for image in images]
        found: dict[int, Found] = {}
        for size in dict.fromkeys(sizes):
            members = [i for i, other in enumerate(sizes) if other == size]
            for chunk in batched(members, self.batch_size):
                crops = [fit(images[i], side) for i in chunk]
                people = decode_people(*self.finder(self._stack(crops)))
                keypoints, scores = people.keypoints.float().cpu(), people.scores.float().cpu()
                for i, crop, k, s in zip(chunk, crops, keypoints, scores, strict=True):
                    found[i] = Found(crop.to_picture(k), s)
        return [found[i] for i in range(len(images))]

    def _look_again(self, image: Tensor, found: Found) -> bool:
        """Whether nobody is found, or somebody so small that there may be more of them."""
        sure = found.keypoints[found.scores >= self.threshold]
        if not len(sure):
            return True
        box = joint_box(sure, _JOINT)
        lengths = (box[:, 2:] - box[:, :2]).amax(-1)
        return bool(lengths.min() < _SMALL * max(image.shape[-2:]))

    def _choose(self, found: Found) -> tuple[Found, bool]:
        """The people without their duplicates, and whether they are below the threshold."""
        kept = distinct(found.keypoints, found.scores, _JOINT, _SAME)
        keypoints, scores = found.keypoints[kept], found.scores[kept]
        sure = scores >= self.threshold
        if bool(sure.any()):
            return Found(keypoints[sure], scores[sure]), False
        best = scores[:1] >= self.floor
        return Found(keypoints[:1][best], scores[:1][best]), True

    def _refine(
        self, images: list[Tensor], chosen: list[tuple[Found, bool]]
    ) -> list[list[DetectedPerson]]:
        """Look at each person again."""
        people: list[list[DetectedPerson]] = [[] for _ in images]
        jobs = [(i, j) for i, (found, _) in enumerate(chosen) for j in range(len(found.scores))]
        for chunk in batched(jobs, self.batch_size):
            first = [chosen[i][0].keypoints[j] for i, j in chunk]
            crops = [
                crop_square(images[i], widened(joint_box(k, _JOINT)), _CROP)
                for (i, _), k in zip(chunk, first, strict=True)
            ]
            refined = decode_person(*self.refiner(self._stack(crops))).float().cpu()
            for (i, j), crop, k, again in zip(chunk, crops, first, refined, strict=True):
                keypoints = better(k, crop.to_picture(again))
                found, uncertain = chosen[i]
                box, score = joint_box(keypoints, _JOINT), float(found.scores[j])
                people[i].append(DetectedPerson(keypoints, box, score, uncertain))
        return people

    def _stack(self, crops: list[Crop]) -> Tensor:
        """Crops as one batch on the network's device and in its precision."""
        weight = self.finder.stem.weight
        return torch.stack([crop.pixels for crop in crops]).to(weight.device, weight.dtype)


def widened(box: Tensor) -> Tensor:
    """A box ``[4]`` longer by a margin around its middle: the joints lie inside of the body."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * _MARGIN
    return torch.cat([middle - half, middle + half])


def better(first: Tensor, refined: Tensor) -> Tensor:
    """The refined joints, unless they are those of somebody else: then the first."""
    boxes = [joint_box(keypoints, _JOINT)[None] for keypoints in (first, refined)]
    return refined if float(overlap(*boxes)) > _DRIFT else first


def batched(items: list[T], size: int) -> Iterator[list[T]]:
    """Pieces of a list, each of at the most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def check_image(image: Tensor) -> None:
    """Refuse what is no picture.

    Raises:
        InputError: Not a float tensor [3, H, W] with finite values in [0, 1].
    """
    remedy = "Give a float tensor [3, H, W], RGB in [0, 1]"
    if not isinstance(image, Tensor):
        raise InputError("image", type(image).__name__, "not a tensor", remedy)
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise InputError("image", list(image.shape), "not a picture [3, H, W]", remedy)
    if not image.is_floating_point():
        problem = "not floating-point numbers"
        raise InputError("image", image.dtype, problem, "Divide 8-bit pixels by 255")
    low, high = image.aminmax()
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise InputError("image", f"[{low:g}, {high:g}]", "holds NaN or infinity", remedy)
    if low < -0.01 or high > 1.01:
        remedy = "Divide 8-bit pixels by 255" if high > 2 else remedy
        raise InputError("image", f"[{low:g}, {high:g}]", "values outside of [0, 1]", remedy)
