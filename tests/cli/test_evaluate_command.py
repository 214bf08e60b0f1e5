"""The command that measures a model prints every error of it."""

import argparse
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from bilayer_graph.body import BodyModel
from bilayer_graph.cli import evaluate
from bilayer_graph.errors import InputError
from bilayer_graph.models import SMALL, ModelConfig, assemble_model, save_model

CONFIGS = {
    "small": replace(SMALL, channels=16, num_blocks=1, hidden=16),
    "paper": ModelConfig("plain", 32, 431, 16, 1, hidden=16),
}


@pytest.fixture
def run(monkeypatch, capsys):
    bank = evaluate.PoseBank
    few = lambda body, motion=None, seed=0, postures=0: bank(body, motion, seed, 20)  # noqa: E731
    monkeypatch.setattr(evaluate, "PoseBank", few)
    monkeypatch.setattr(evaluate, "MEAN_SAMPLES", 16)

    def call(*words):
        parser = argparse.ArgumentParser()
        evaluate.add_arguments(parser)
        status = evaluate.run(parser.parse_args([str(word) for word in words]))
        return status, capsys.readouterr().out

    return call


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        save_model(assemble_model(config, BodyModel.load()), folder / f"{name}.safetensors")
    return folder


def lines(text, names, number):
    return [re.search(rf"^    {re.escape(name)}\s+{number}$", text, re.MULTILINE) for name in names]


def test_prints_the_model_and_the_mean_body(run, weights):
    status, printed = run("--weights", weights / "paper.safetensors", "--samples", 8)
    assert status == 0
    assert printed.startswith("8 pictures, mm: ")
    model, mean = printed.split("mean body")
    number = r"\d+\.\d ± \d+\.\d \(\d+\.\d\)"
    joints, meshes = ["MPJPE", "PA-MPJPE"], ["mesh MPJPE", "mesh PA-MPJPE"]
    assert all(lines(model, [*joints, *meshes, "PVE", "SMPL PVE"], number))
    assert all(lines(mean, [*joints, "PVE"], number))


def test_prints_true_and_noisy_keypoints(run, weights, monkeypatch):
    monkeypatch.setattr(evaluate, "_BATCH", 5)
    words = ("--weights", weights / "small.safetensors", "--samples", 8, "--seeds", 2)
    status, printed = run(*words)
    assert status == 0
    # In two batches of as many.
    assert printed.startswith("10 people of postures, 2 sets: mean ± spread of sets")
    true, noisy = printed.split("noisy 2D")
    assert "true 2D" in true
    for part in (true, noisy):
        names = ["MPJPE", "PA-MPJPE", "PVE", "PVE free"]
        assert all(lines(part, names, r"\d+\.\d ± \d+\.\d"))
        assert all(lines(part, ["near"], r"\d\.\d{3} ± \d\.\d{3}"))
    assert run(*words)[1] == printed
    assert run(*words, "--plain")[1] != printed


def test_one_set_has_no_spread(run, weights):
    words = ("--weights", weights / "small.safetensors", "--samples", 4, "--seeds", 1)
    assert "± 0.0" in run(*words)[1]


def test_measures_on_held_out_clips(run, weights, tmp_path):
    turns = np.random.default_rng(0).normal(0, 0.2, (4, 72))
    np.savez(tmp_path / "poses.npz", poses=turns, clip=np.array(["a", "a", "b", "b"]))
    words = ("--weights", weights / "small.safetensors", "--samples", 4, "--seeds", 1)
    _, printed = run(*words, "--poses", tmp_path / "poses.npz", "--hold-out", "a")
    assert printed.startswith("4 people of 1 clips and postures")
    assert printed != run(*words)[1]
    with pytest.raises(InputError, match=r"^--hold-out=.*no such clips"):
        run(*words, "--poses", tmp_path / "poses.npz", "--hold-out", "c")


def test_missing_weights(run, tmp_path):
    with pytest.raises(InputError, match=r"^weights=.*none.safetensors: no such file"):
        run("--weights", tmp_path / "none.safetensors")
