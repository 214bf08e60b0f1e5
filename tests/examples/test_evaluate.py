import re

import pytest
from example_scripts import load_script

script = load_script("evaluate")


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["evaluate.py", *[str(word) for word in arguments]])
        return script.main(), *capsys.readouterr()

    return call


def test_prints_the_model_and_the_mean_body(run, weights):
    status, printed, _ = run("--weights", weights, "--samples", 8)
    assert status == 0
    model, mean = printed.split("mean body")
    names = ["MPJPE", "PA-MPJPE", "mesh MPJPE", "mesh PA-MPJPE", "PVE", "SMPL PVE"]
    number = r"\s+\d+\.\d ± \d+\.\d \(\d+\.\d\)"
    for name in names:
        assert re.search(rf"^    {name}{number}$", model, re.MULTILINE), name
    for name in ("MPJPE", "PA-MPJPE", "PVE"):
        assert re.search(rf"^    {name}{number}$", mean, re.MULTILINE), name


def test_missing_weights(run, tmp_path):
    status, _, errors = run("--weights", tmp_path / "none.safetensors")
    assert status == 2
    assert errors.startswith("error: weights=")
