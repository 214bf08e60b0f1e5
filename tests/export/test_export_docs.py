"""The snippets of docs/export.md run, and its table names what there is."""

import re
from pathlib import Path

import pytest
import torch

from bilayer_graph.export import PRECISIONS
from bilayer_graph.models import HMROutput

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
ONNX, TORCH = SNIPPETS


def test_the_onnx_snippet(shipped_file, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(shipped_file.parent)
    names: dict = {}
    exec(ONNX, names)
    assert names["people"]["vertices"].shape == (2, 431, 3)
    assert list(names["people"]) == list(HMROutput.__dataclass_fields__)


@torch.no_grad()
def test_the_torch_snippet():
    names: dict = {}
    exec(TORCH, names)
    inputs = torch.rand(3, 3, 256, 256), torch.rand(3, 17, 3)
    out = names["program"].module()(*inputs)
    for name, expected in vars(names["model"](*inputs)).items():
        assert (getattr(out, name) - expected).abs().max() < 1e-4, name


def test_the_table_of_precisions():
    assert re.findall(r"^\| `(\w+)` \| [\d.]+ MB", PAGE, flags=re.MULTILINE) == [*PRECISIONS]
    for name in HMROutput.__dataclass_fields__:
        assert f"`{name}`" in PAGE
