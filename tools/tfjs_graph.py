"""TensorFlow.js graph models: their weights, and a plain run of their graph.

Only the operations that the MoveNet graphs hold, as they are documented for TensorFlow, on NumPy
arrays in the layout ``[B, H, W, C]``. It is the reference that the converted networks are checked
against, so it follows the graph node by node and knows nothing of the networks.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Node:
    """One operation: its kind, its name, the names of its inputs and its attributes."""

    op: str
    name: str
    inputs: list[str]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Graph:
    """The operations, in an order in which they can run, and the weights by name."""

    nodes: list[Node]
    weights: dict[str, Array]


def read_graph(path: Path) -> Graph:
    """Read a model's ``.json`` and the ``.bin`` beside it."""
    model = json.loads(path.read_text())
    (group,) = model["weightsManifest"]
    data = b"".join((path.parent / name).read_bytes() for name in group["paths"])
    nodes = [
        Node(node["op"], node["name"], _inputs(node), _attributes(node.get("attr", {})))
        for node in model["modelTopology"]["node"]
    ]
    return Graph(_sorted(nodes), read_weights(group["weights"], data))


def read_weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, Array]:
    """Read the arrays that a manifest describes, those stored in half precision as float16."""
    weights, start = {}, 0
    for entry in manifest:
        stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
        kind = np.dtype({"float16": "<f2", "float32": "<f4", "int32": "<i4"}[stored])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        weights[entry["name"]] = np.frombuffer(data, kind, count, start).reshape(entry["shape"])
        start += count * kind.itemsize
    if start != len(data):
        raise ValueError(f"the weights take {start} bytes, the file has {len(data)}")
    return weights


def run_graph(graph: Graph, inputs: dict[str, Array]) -> dict[str, Array]:
    """Run every operation.

    Args:
        graph: The graph.
        inputs: Value of each placeholder.

    Returns:
        The first output of each operation by its name, further ones as ``NAME:1`` and so on.
    """
    values = dict(inputs)
    for name, array in graph.weights.items():
        values[name] = array.astype(np.float32) if array.dtype == np.float16 else array
    for node in graph.nodes:
        if node.op in ("Const", "Placeholder"):
            continue
        arguments = [values[name.removesuffix(":0")] for name in node.inputs]
        out = OPERATIONS[node.op](node.attributes, *arguments)
        outs = out if isinstance(out, list) else [out]
        values.update({f"{node.name}:{i}" if i else node.name: x for i, x in enumerate(outs)})
    return values


def _inputs(raw: dict[str, Any]) -> list[str]:
    """Return names of the inputs without those (^) that only say what has to run before."""
    return [name for name in raw.get("input", []) if not name.startswith("^")]


def _attributes(raw: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in raw.items()}


def _attribute(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "list":
        return [_attribute({k: item}) for k, items in content.items() for item in items]
    if kind == "i":
        return int(content)
    if kind == "s":
        return base64.b64decode(content).decode()
    return content


def _sorted(nodes: list[Node]) -> list[Node]:
    """Sort the nodes, each behind its inputs."""
    by_name = {node.name: node for node in nodes}
    done: dict[str, Node] = {}

    def visit(node: Node) -> None:
        if node.name in done:
            return
        for name in node.inputs:
            visit(by_name[name.split(":")[0]])
        done[node.name] = node

    for node in nodes:
        visit(node)
    return list(done.values())


def _to_torch(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)


def _to_numpy(x: torch.Tensor) -> Array:
    return x.permute(0, 2, 3, 1).numpy()


def _pad(x: torch.Tensor, kernel: int, stride: int, padding: str, value: float) -> torch.Tensor:
    """Pad "SAME": as many outputs as strides fit; the odd pixel goes right and down."""
    if padding == "VALID":
        return x
    total = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
    (top, bottom), (left, right) = ((t // 2, t - t // 2) for t in total)
    return F.pad(x, (left, right, top, bottom), value=value)


def _convolution(a: dict[str, Any], x: Array, weight: Array, *bias: Array) -> Array:
    kernel = torch.from_numpy(weight).permute(3, 2, 0, 1)
    return _convolve(a, x, kernel, 1, *bias)


def _depthwise(a: dict[str, Any], x: Array, weight: Array, *bias: Array) -> Array:
    if weight.shape[3] != 1:
        raise ValueError("a convolution with several outputs a channel")
    kernel = torch.from_numpy(weight).permute(2, 3, 0, 1)
    return _convolve(a, x, kernel, x.shape[3], *bias)


def _convolve(
    a: dict[str, Any], x: Array, kernel: torch.Tensor, groups: int, *bias: Array
) -> Array:
    stride = a["strides"][1]
    padded = _pad(_to_torch(x), kernel.shape[-1], stride, a["padding"], 0.0)
    out = _to_numpy(F.conv2d(padded, kernel, stride=stride, groups=groups))
    for step in a.get("fused_ops", []):
        if step == "BiasAdd":
            out = out + bias[0]
        else:
            out = np.clip(out, 0, {"Relu": np.inf, "Relu6": 6}[step])
    return out


def _max_pool(a: dict[str, Any], x: Array) -> Array:
    kernel, stride = a["ksize"][1], a["strides"][1]
    padded = _pad(_to_torch(x), kernel, stride, a["padding"], -np.inf)
    return _to_numpy(F.max_pool2d(padded, kernel, stride))


def _resize_bilinear(a: dict[str, Any], x: Array, size: Array) -> Array:
    if not a["half_pixel_centers"]:
        raise ValueError("a resize that is not aligned at the pixels' centres")
    return _to_numpy(F.interpolate(_to_torch(x), size=size.tolist(), mode="bilinear"))


def _strided_slice(a: dict[str, Any], x: Array, begin: Array, end: Array, step: Array) -> Array:
    index: list[Any] = []
    for i in range(len(begin)):
        bit = 1 << i
        if a["ellipsis_mask"] & bit:
            index.append(Ellipsis)
        elif a["new_axis_mask"] & bit:
            index.append(None)
        elif a["shrink_axis_mask"] & bit:
            index.append(int(begin[i]))
        else:
            first = None if a["begin_mask"] & bit else int(begin[i])
            last = None if a["end_mask"] & bit else int(end[i])
            index.append(slice(first, last, int(step[i])))
    part: Array = x[tuple(index)]
    return part


def _top_k(a: dict[str, Any], x: Array, k: Array) -> list[Array]:
    order = np.argsort(-x, axis=-1, kind="stable")[..., : int(k)].astype(np.int32)
    return [np.take_along_axis(x, order, axis=-1), order]


def _cast(a: dict[str, Any], x: Array) -> Array:
    return np.asarray(x).astype({"DT_FLOAT": np.float32, "DT_INT32": np.int32}[a["DstT"]])


def _unpack(a: dict[str, Any], x: Array) -> list[Array]:
    return [np.take(x, i, axis=a["axis"]) for i in range(x.shape[a["axis"]])]


def _select(a: dict[str, Any], condition: Array, x: Array, y: Array) -> Array:
    return np.where(condition, x, y)


def _shape(a: dict[str, Any], x: Array) -> Array:
    return np.array(x.shape, np.int32)


def _range(a: dict[str, Any], first: Array, last: Array, step: Array) -> Array:
    return np.arange(float(first), float(last), float(step)).astype(first.dtype)


Operation = Callable[..., Array | list[Array]]
OPERATIONS: dict[str, Operation] = {
    "Abs": lambda a, x: np.abs(x),
    "AddN": lambda a, *xs: sum(xs[1:], xs[0]),
    "AddV2": lambda a, x, y: x + y,
    "ArgMax": lambda a, x, axis: np.argmax(x, axis=int(axis)).astype(np.int32),
    "Cast": _cast,
    "ConcatV2": lambda a, *xs: np.concatenate(xs[:-1], axis=int(xs[-1])),
    "DepthwiseConv2dNative": _depthwise,
    "Equal": lambda a, x, y: x == y,
    "Exp": lambda a, x: np.exp(x),
    "ExpandDims": lambda a, x, axis: np.expand_dims(x, int(axis)),
    "Fill": lambda a, shape, value: np.full(shape, value),
    "FloorDiv": lambda a, x, y: x // y,
    "FusedDepthwiseConv2dNative": _depthwise,
    "GatherNd": lambda a, x, index: x[tuple(np.moveaxis(index, -1, 0))],
    "Greater": lambda a, x, y: x > y,
    "GreaterEqual": lambda a, x, y: x >= y,
    "Identity": lambda a, x: x,
    "Less": lambda a, x, y: x < y,
    "LogicalAnd": lambda a, x, y: x & y,
    "Max": lambda a, x, axis: x.max(axis=int(axis), keepdims=a["keep_dims"]),
    "MaxPool": _max_pool,
    "Maximum": lambda a, x, y: np.maximum(x, y),
    "Minimum": lambda a, x, y: np.minimum(x, y),
    "Mul": lambda a, x, y: x * y,
    "Pack": lambda a, *xs: np.stack(xs, axis=a["axis"]),
    "Range": _range,
    "RealDiv": lambda a, x, y: x / y,
    "Reciprocal": lambda a, x: 1 / x,
    "Reshape": lambda a, x, shape: x.reshape(shape),
    "ResizeBilinear": _resize_bilinear,
    "Select": _select,
    "Shape": _shape,
    "Sigmoid": lambda a, x: 1 / (1 + np.exp(-x)),
    "Size": lambda a, x: np.array(x.size, np.int32),
    "Split": lambda a, axis, x: list(np.split(x, a["num_split"], axis=int(axis))),
    "Sqrt": lambda a, x: np.sqrt(x),
    "SquaredDifference": lambda a, x, y: (x - y) ** 2,
    "Squeeze": lambda a, x: np.squeeze(x, axis=tuple(a["squeeze_dims"])),
    "StridedSlice": _strided_slice,
    "Sub": lambda a, x, y: x - y,
    "Sum": lambda a, x, axis: x.sum(axis=int(axis), keepdims=a["keep_dims"]),
    "Tile": lambda a, x, repeats: np.tile(x, repeats),
    "TopKV2": _top_k,
    "_FusedConv2D": _convolution,
    "Unpack": _unpack,
}
"""What each operation computes, of its attributes and its inputs."""
