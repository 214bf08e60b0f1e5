"""The command that measures a model prints every error of it."""

import argparse
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from bilayer_graph.body import BodyModel
from bilayer_graph.cli import evaluate
from bilayer_graph.detection import DetectedPerson
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


def test_the_file_has_what_is_printed(run, weights, tmp_path):
    path = tmp_path / "deep" / "figures.json"
    words = ("--weights", weights / "small.safetensors", "--samples", 40, "--seeds", 2)
    _, printed = run(*words, "--json", path)
    assert printed == run(*words)[1]
    numbers = json.loads(path.read_text())
    assert list(numbers) == ["true 2D", "noisy 2D"]
    for name, part in zip(numbers, printed.split("noisy 2D"), strict=True):
        overall, everybody = numbers[name]["sets"], numbers[name]["everybody"]
        assert everybody["people"] == 80
        for key in ("MPJPE", "PA-MPJPE", "PVE"):
            mean, spread = overall[key]["mean"], overall[key]["spread"]
            assert lines(part, [key], rf"{mean:.1f} ± {spread:.1f}")[0]
            figure = everybody["errors"][key]
            assert figure["mean"] == pytest.approx(mean)
            shown = "{mean:.1f} ± {interval:.1f} ({median:.1f})".format(**figure)
            assert shown in re.search("everybody.*", part)[0]
        for family, row in numbers[name]["families"]["trunk"].items():
            line = re.search(rf"{re.escape(family)} +(\S+)% +(\d+) +(\S+) ±", part)
            assert bool(line) == bool(row["people"])
            if line:
                assert line[1] == f"{100 * row['share']:.1f}"
                assert line[2] == str(row["people"])
                assert line[3] == f"{row['errors']['MPJPE']['mean']:.1f}"
            else:
                assert row["errors"]["MPJPE"]["mean"] is None
        # Of the true keypoints none is missing: a kind with one family is not printed.
        assert ("limb joints missing" in part) == (name == "noisy 2D")


def test_the_file_of_a_model_of_pictures(run, weights, tmp_path):
    path = tmp_path / "figures.json"
    words = ("--weights", weights / "paper.safetensors", "--samples", 8, "--json", path)
    _, printed = run(*words)
    numbers = json.loads(path.read_text())
    assert list(numbers) == ["model", "mean body"]
    for name, part in zip(numbers, printed.split("mean body"), strict=True):
        figure = numbers[name]["everybody"]["errors"]["PVE"]
        assert lines(part, ["PVE"], r"{mean:.1f} ± .*".format(**figure))[0]


def test_a_file_that_cannot_be_written(run, weights, tmp_path):
    folder = tmp_path / "figures"
    folder.mkdir()
    words = ("--weights", weights / "small.safetensors", "--samples", 4, "--seeds", 1)
    (folder / "a.json").symlink_to(tmp_path / "gone" / "a.json")
    with pytest.raises(InputError, match=r"^--json=.*cannot be written"):
        run(*words, "--json", folder / "a.json")


@pytest.fixture
def pictures(monkeypatch):
    """Small pictures, and a detector that knows where everybody in them is but in the last."""

    def scenes(body, poses, size, seed):
        shown.append(evaluate_scenes(body, poses, size, ((48, 64),), seed))
        return shown[-1]

    def detector(image):
        for number in range(len(shown[-1]) - 1):
            sample = shown[-1][number]
            # Rendered again, it may differ in the last bit.
            if image.shape == sample["picture"].shape and torch.allclose(image, sample["picture"]):
                keypoints = torch.cat([sample["keypoints_true"], torch.ones(17, 1)], dim=1)
                return [DetectedPerson(keypoints, torch.zeros(4), 0.9)]
        return []

    shown, evaluate_scenes = [], evaluate.Scenes
    monkeypatch.setattr(evaluate, "Scenes", scenes)
    monkeypatch.setattr(evaluate.MoveNetDetector, "load", lambda: detector)


@pytest.fixture(scope="module")
def sighted(tmp_path_factory):
    """Weights that make something of what the picture shows."""
    torch.manual_seed(0)
    model = assemble_model(CONFIGS["small"], BodyModel.load())
    adapter = model.joint_features.joint_features.lin_patch
    torch.nn.init.normal_(adapter.lin_out.weight)
    path = tmp_path_factory.mktemp("sighted") / "model.safetensors"
    save_model(model, path)
    return path


def test_whole_pictures_with_and_without_the_picture(run, weights, sighted, pictures, tmp_path):
    path = tmp_path / "figures.json"

    def measured(model, *words):
        _, printed = run("--weights", model, "--pictures", 3, "--json", path, *words)
        assert printed.startswith("3 whole pictures")
        assert re.search(r"^  found +0\.667 of the people", printed, re.MULTILINE)
        assert ("keypoints alone" in printed) == bool(words)
        assert re.search(r"^ +nobody found +33\.3% +1 +0\.000 +-", printed, re.MULTILINE)
        return json.loads(path.read_text())["whole pictures"]

    blind = weights / "small.safetensors"
    unseen, seen = measured(sighted, "--no-picture"), measured(sighted)
    assert seen["families"]["mean error of the limb keypoints"]["nobody found"]["people"] == 1
    assert seen["everybody"]["found"] == pytest.approx(2 / 3)
    assert seen != unseen
    # To weights that make nothing of the picture, it is all the same.
    assert measured(blind) == measured(blind, "--no-picture") == unseen


def test_no_picture_needs_pictures_and_a_model_that_can_do_without(run, weights):
    with pytest.raises(InputError, match=r"^--no-picture=True.*Give --pictures N"):
        run("--weights", weights / "small.safetensors", "--no-picture")
    with pytest.raises(InputError, match=r"^--no-picture=True.*cannot do without"):
        run("--weights", weights / "paper.safetensors", "--pictures", 2, "--no-picture")


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
