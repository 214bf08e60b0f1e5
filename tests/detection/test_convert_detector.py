"""The converter's reader and interpreter, on a graph made by hand."""

import base64
import json

import convert_detector
import numpy as np
import pytest
import torch
from tfjs_graph import OPERATIONS, read_graph, read_weights, run_graph

from bilayer_graph.detection.movenet import HEADS_SINGLE, MoveNet
from bilayer_graph.errors import InputError


def text(*words):
    return [base64.b64encode(word.encode()).decode() for word in words]


def write_model(folder, nodes, weights):
    manifest, data = [], b""
    for name, array in weights.items():
        kind = {"f": "float32", "i": "int32"}[array.dtype.kind]
        entry = {"name": name, "shape": list(array.shape), "dtype": kind}
        if array.dtype == np.float16:
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        manifest.append(entry)
        data += array.tobytes()
    model = {
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": ["model.bin"], "weights": manifest}],
    }
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "model.bin").write_bytes(data)
    return folder / "model.json"


def test_graph_by_hand(tmp_path):
    """Nodes in the wrong order: a convolution of stride 2, its largest value, the place of it."""
    convolution = {
        "strides": {"list": {"i": ["1", "2", "2", "1"]}},
        "padding": {"s": text("SAME")[0]},
        "fused_ops": {"list": {"s": text("BiasAdd", "Relu6")}},
    }
    order = {"DstT": {"type": "DT_FLOAT"}}
    nodes = [
        {"op": "Reshape", "name": "flat", "input": ["conv", "shape", "^floats"]},
        {"op": "ArgMax", "name": "place", "input": ["flat", "axis"]},
        {"op": "_FusedConv2D", "name": "conv", "input": ["floats", "w", "b"], "attr": convolution},
        {"op": "Cast", "name": "floats", "input": ["input:0"], "attr": order},
        {"op": "Placeholder", "name": "input"},
        *({"op": "Const", "name": name} for name in ("w", "b", "shape", "axis")),
    ]
    weights = {
        "w": np.ones((3, 3, 1, 1), np.float16),
        "b": np.array([-3], np.float16),
        "shape": np.array([-1], np.int32),
        "axis": np.array(0, np.int32),
    }
    graph = read_graph(write_model(tmp_path, nodes, weights))
    image = np.zeros((1, 4, 4, 1), np.int32)
    image[0, 2, 2], image[0, 3, 3] = 4, 1
    values = run_graph(graph, {"input": image})
    # Windows start at 0 and 2, padding lies on the right and below: sums 4, 4, 4, 5.
    assert values["flat"].tolist() == [1, 1, 1, 2]
    assert int(values["place"]) == 3


def test_weights_must_fill_the_file():
    manifest = [{"name": "w", "shape": [2], "dtype": "float32"}]
    assert read_weights(manifest, np.ones(2, np.float32).tobytes())["w"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="8 bytes"):
        read_weights(manifest, bytes(12))


def run(op, *inputs, **attributes):
    return OPERATIONS[op](attributes, *(np.asarray(x) for x in inputs))


def test_operations():
    x = np.arange(24).reshape(2, 3, 4)
    masks = dict.fromkeys(("ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0)
    masks |= {"begin_mask": 4, "end_mask": 4, "shrink_axis_mask": 1, "new_axis_mask": 2}
    slices = run("StridedSlice", x, [1, 0, 0], [2, 0, 2], [1, 1, 2], **masks)
    assert np.array_equal(slices, x[1, None, ::2])
    assert np.array_equal(run("GatherNd", x, [[0, 1], [1, 2]]), x[[0, 1], [1, 2]])
    values, places = run("TopKV2", [1.0, 3.0, 3.0], 2)
    assert (values.tolist(), places.tolist()) == ([3, 3], [1, 2])
    pooled = run(
        "MaxPool",
        -np.ones((1, 2, 2, 1), np.float32),
        ksize=[1, 5, 5, 1],
        strides=[1, 1, 1, 1],
        padding="SAME",
    )
    assert pooled.tolist() == (-np.ones((1, 2, 2, 1))).tolist()
    resized = run("ResizeBilinear", np.float32([[[[0.0], [4.0]]]]), [1, 4], half_pixel_centers=True)
    assert resized.ravel().tolist() == [0, 1, 3, 4]
    assert [part.tolist() for part in run("Split", 1, [[1, 2]], num_split=2)] == [[[1]], [[2]]]


def test_other_files_are_refused(tmp_path):
    source = convert_detector.SOURCES["thunder"]
    with pytest.raises(InputError, match="no such file"):
        convert_detector.read_source(tmp_path, source)
    (tmp_path / "movenet-thunder.json").write_text("{}")
    with pytest.raises(InputError, match=r"sha256 is 44136fa3.*human-models 3\.0\.4"):
        convert_detector.read_source(tmp_path, source)


def test_every_convolution_has_a_name():
    """The names cover backbone and pyramid of the network, and nothing else."""
    modules = {
        name
        for name, module in MoveNet(1.75, HEADS_SINGLE).named_modules()
        if isinstance(module, torch.nn.Conv2d) and not name.startswith("heads.")
    }
    assert set(convert_detector._names()) == modules
