"""The detector's two networks, with what makes people of their maps."""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from bilayer_graph.detection import MoveNetDetector
from bilayer_graph.detection.decode import People, decode_people, decode_person
from bilayer_graph.detection.movenet import MoveNet
from bilayer_graph.export.onnx_file import write_onnx

_MULTIPLE, _MOST = 32, 32
_SIDE = 256


class _Finder(nn.Module):
    def __init__(self, network: MoveNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> People:
        return decode_people(*self.network(image))


class _Refiner(nn.Module):
    def __init__(self, network: MoveNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return decode_person(*self.network(image))


def export_detector(detector: MoveNetDetector, finder: str | Path, refiner: str | Path) -> None:
    """Write both networks of the detector as ONNX files for batches of any size.

    The first takes pictures ``[B, 3, H, W]``, RGB in [0, 1], sides multiples of 32, and gives the
    fields of :class:`~bilayer_graph.detection.decode.People`; the second takes squares
    ``[B, 3, 256, 256]`` around one person and gives ``keypoints`` ``[B, 17, 3]``. Points are in
    pixels of the input. To choose among people, and to crop, is left to the program.

    Args:
        detector: The detector; it stays as it is.
        finder: File to write the network for several people to.
        refiner: File to write the network for one person to.

    Raises:
        InputError: If a library is missing or a file cannot be written.
    """
    batch = torch.export.Dim("batch")
    rows, columns = (_MULTIPLE * torch.export.Dim(name, min=2, max=_MOST) for name in "hw")
    write_onnx(
        _Finder(copy.deepcopy(detector.finder)).cpu().float(),
        (torch.rand(2, 3, 6 * _MULTIPLE, 8 * _MULTIPLE),),
        ({0: batch, 2: rows, 3: columns},),
        (["image"], People._fields),
        Path(finder),
    )
    write_onnx(
        _Refiner(copy.deepcopy(detector.refiner)).cpu().float(),
        (torch.rand(2, 3, _SIDE, _SIDE),),
        ({0: batch},),
        (["image"], ["keypoints"]),
        Path(refiner),
    )
