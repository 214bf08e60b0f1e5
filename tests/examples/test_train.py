import pytest
from example_scripts import EXAMPLES

from bilayer_graph.models import ModelConfig, load_model

pytest.importorskip("pytorch_lightning")


def test_the_page_trains_and_saves(monkeypatch, tmp_path, capsys):
    """The page as it is, but for shorter."""
    monkeypatch.chdir(tmp_path)
    page = (EXAMPLES / "train.py").read_text()
    shorter = {
        "STEPS, BATCH = 600, 512": "STEPS, BATCH = 3, 4",
        "PoseBank(body)": "PoseBank(body, postures=20)",
        "PoseBank(body, seed=1)": "PoseBank(body, seed=1, postures=20)",
        "logger=False": 'logger=False, accelerator="cpu"',
    }
    for text, other in shorter.items():
        assert text in page
        page = page.replace(text, other)
    exec(compile(page, "train.py", "exec"), {})
    printed = capsys.readouterr().out
    assert "'true/mpjpe'" in printed
    assert "'loss'" in printed
    assert isinstance(load_model("small.safetensors", variant="small").config, ModelConfig)
    assert not list(tmp_path.glob("**/*.partial"))
