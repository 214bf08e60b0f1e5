import pytest
import torch
from example_scripts import load_script

from bilayer_graph.models import load_model

pytest.importorskip("pytorch_lightning")
script = load_script("train")


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["train.py", *[str(word) for word in arguments]])
    return script.main()


def test_train_resume_and_use(monkeypatch, tmp_path, capsys):
    small = ("--steps", 2, "--batch-size", 4, "--validation", 4, "--workers", 0, "--out", tmp_path)
    assert run(monkeypatch, "--epochs", 1, *small) == 0
    printed = capsys.readouterr().out
    assert "epoch 1: MPJPE" in printed
    assert "mean body" in printed
    assert f"recover_mesh.py --weights {tmp_path / 'model.safetensors'}" in printed
    before = load_model(tmp_path / "model.safetensors").state_dict()
    assert run(monkeypatch, "--epochs", 2, "--resume", *small) == 0
    after = load_model(tmp_path / "model.safetensors").state_dict()
    # Two steps before and two after: the count of batches goes on instead of starting again.
    name = next(name for name in after if name.endswith("num_batches_tracked"))
    assert (before[name], after[name]) == (2, 4)


def test_nothing_to_resume(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, "--resume", "--out", tmp_path / "none") == 2
    assert capsys.readouterr().err.startswith("error: --resume=")


def test_resume_of_a_truncated_checkpoint_or_another_variant(
    monkeypatch, tmp_path, capsys, weights
):
    out = tmp_path / "run"
    out.mkdir()
    (out / "last.ckpt").write_bytes(b"PK\x03\x04 cut off")
    assert run(monkeypatch, "--resume", "--out", out) == 2
    assert "last.ckpt: truncated" in capsys.readouterr().err
    torch.save({}, out / "last.ckpt")
    (out / "model.safetensors").write_bytes(weights.read_bytes())
    assert run(monkeypatch, "--resume", "--out", out, "--variant", "paper") == 2
    assert "holds variant 'small', not 'paper'" in capsys.readouterr().err
