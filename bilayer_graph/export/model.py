"""The whole model: an image and keypoints in, every output out."""

import dataclasses
from pathlib import Path

import torch

from bilayer_graph.export.onnx_file import write_onnx
from bilayer_graph.export.precision import check_precision, in_precision, quantize
from bilayer_graph.models import BilayerHMR, HMROutput

OUTPUTS = tuple(field.name for field in dataclasses.fields(HMROutput))
"""Names of the outputs."""


def export_model(model: BilayerHMR, path: str | Path, precision: str = "float32") -> None:
    """Write a model as one ONNX file for batches of any size.

    Inputs are ``image`` and ``keypoints`` as :meth:`~bilayer_graph.models.BilayerHMR.forward` takes
    them, without the image of a model that sees none; outputs the fields of
    :class:`~bilayer_graph.models.HMROutput`. Both are float32 in every precision.

    Args:
        model: The model; it stays as it is.
        path: File to write.
        precision: One of :data:`~bilayer_graph.export.PRECISIONS`.

    Raises:
        InputError: If there is no such precision, a library is missing or the file cannot be
            written.
    """
    path = Path(path)
    check_precision(precision)
    side, number = model.image_size, model.joint_features.num_keypoints
    sees = model.encoder is not None
    # Two people: a size of one would be taken for a constant.
    image = torch.rand(2, 3, side, side) if sees else None
    batch = {0: torch.export.Dim("batch")}
    write_onnx(
        in_precision(model, precision),
        (image, torch.rand(2, number, 3)),
        (batch if sees else None, batch),
        (["image", "keypoints"] if sees else ["keypoints"], OUTPUTS),
        path,
    )
    if precision == "int8":
        quantize(path)
