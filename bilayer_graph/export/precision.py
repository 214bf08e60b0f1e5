"""The precisions of an exported model."""

import copy
from pathlib import Path

import torch

from bilayer_graph.errors import InputError
from bilayer_graph.export.onnx_file import quiet, require, whole_file
from bilayer_graph.models import BilayerHMR

_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.float32,
}
PRECISIONS = tuple(_DTYPES)
"""What features and weights are in: ``"int8"`` are the weights of the linear layers alone."""

# What is quantised: the blocks' layers, by their place in the model. Coordinates are not.
_LINEAR = "bilayer_graph.nn.linear.Linear"


def check_precision(precision: str) -> None:
    """Raise an :class:`InputError` unless there is such a precision."""
    if precision not in PRECISIONS:
        remedy = f"Give one of {list(PRECISIONS)}"
        raise InputError("precision", precision, "no such precision", remedy)
    if precision == "int8":
        require("onnxruntime")


def in_precision(model: BilayerHMR, precision: str) -> BilayerHMR:
    """Return a copy of a model on the CPU, in evaluation mode."""
    return copy.deepcopy(model).cpu().to(_DTYPES[precision]).eval()


def quantize(path: Path) -> None:
    """Write an ONNX file anew, the weights of its linear layers in 8 bits."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    names = [
        node.name
        for node in onnx.load(path, load_external_data=False).graph.node
        if any(_LINEAR in entry.value for entry in node.metadata_props)
    ]
    # A product with a sum is made a product first, and renamed.
    nodes = names + [f"{name}_MatMul" for name in names]
    # Unsigned: products of signed weights overflow on processors without VNNI.
    with quiet(), whole_file(path) as partial:
        quantize_dynamic(
            path, partial, per_channel=True, weight_type=QuantType.QUInt8, nodes_to_quantize=nodes
        )
