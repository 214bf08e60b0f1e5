"""The command that trains: what it takes, what it refuses, what it leaves."""

import argparse

import numpy as np
import pytest
import torch

from bilayer_graph.cli import train
from bilayer_graph.errors import InputError
from bilayer_graph.models import PAPER, SMALL, VARIANTS, load_model

pytest.importorskip("pytorch_lightning")

TINY = {
    "small": {"channels": 16, "num_blocks": 1, "hidden": 16},
    "paper": {
        **{"backbone": "plain", "image_size": 32, "num_vertices": 431},
        **{"channels": 16, "num_blocks": 1, "hidden": 16},
    },
}


def parse(*words):
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Train variants that are small and quick."""
    from dataclasses import replace

    for name, config in {"small": SMALL, "paper": PAPER}.items():
        monkeypatch.setitem(VARIANTS, name, replace(config, **TINY[name]))
    bank = train.PoseBank
    few = lambda body, motion=None, seed=0, postures=0: bank(body, motion, seed, 20)  # noqa: E731
    monkeypatch.setattr(train, "PoseBank", few)
    short = ("--steps", 2, "--batch-size", 4, "--validation", 4, "--precision", "32-true")

    def call(*words, out=tmp_path / "run"):
        return train.run(parse(*short, "--out", out, *words))

    return call


@pytest.mark.parametrize("variant", TINY)
def test_trains_goes_on_and_says_how_to_use_it(run, tmp_path, capsys, variant):
    out = tmp_path / "run"
    assert run("--variant", variant, "--epochs", 1) == 0
    printed = capsys.readouterr().out
    assert "epoch 1: " in printed
    assert f"bilayer-graph recover PICTURE --weights {out / 'model.safetensors'}" in printed
    assert load_model(out / "model.safetensors", variant=variant).config == VARIANTS[variant]
    with pytest.raises(InputError, match=r"^--out=.*holds a training .*--resume .*--overwrite"):
        run("--variant", variant)
    assert run("--variant", variant, "--epochs", 2, "--resume") == 0
    state = torch.load(out / "last.ckpt", weights_only=True)
    assert state["global_step"] == 4
    assert run("--variant", variant, "--epochs", 1, "--overwrite") == 0
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] == 2


def test_nothing_to_resume_and_another_variant(run, tmp_path):
    with pytest.raises(InputError, match=r"^--resume=.*last.ckpt: no such checkpoint"):
        run("--resume", out=tmp_path / "none")
    assert run("--epochs", 1) == 0
    with pytest.raises(InputError, match=r"^--resume=.*of another training"):
        run("--resume", "--variant", "paper", "--epochs", 2)


BAD = [
    ("--lr", "nan"),
    ("--lr", "-1"),
    ("--lr", "0"),
    ("--lr", "inf"),
    ("--lr", "fast"),
    ("--workers", "-1"),
    ("--seed", "-1"),
    ("--seed", "99999999999"),
    ("--epochs", "0"),
    ("--steps", "1.5"),
    ("--batch-size", "0"),
    ("--threads", "0"),
    ("--validation", "0"),
    ("--variant", "large"),
    ("--precision", "16"),
]


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_bad_values_are_named(words, capsys):
    with pytest.raises(SystemExit) as info:
        parse(*words)
    assert info.value.code == 2
    assert f"argument {words[0]}: " in capsys.readouterr().err


def test_values():
    arguments = parse("--lr", "2e-3", "--workers", 0, "--seed", 2**32 - 1, "--hold-out", "a", "b")
    assert (arguments.lr, arguments.workers, arguments.seed) == (2e-3, 0, 2**32 - 1)
    assert arguments.hold_out == ["a", "b"]


@pytest.mark.parametrize("out", ["/dev/null", "/dev/null/run"])
def test_a_folder_that_is_none(run, out):
    with pytest.raises(InputError, match=r"^--out=/dev/null.*cannot be made .*Give a folder"):
        run(out=out)


def test_missing_files_are_named(run, tmp_path):
    with pytest.raises(InputError, match=r"none\.npz"):
        run("--body", tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"none\.npz"):
        run("--poses", tmp_path / "none.npz")


@pytest.fixture
def poses(tmp_path):
    """Real poses of three clips."""
    turns = np.random.default_rng(0).normal(0, 0.2, (6, 72))
    path = tmp_path / "poses.npz"
    np.savez(path, poses=turns, clip=np.array(["walk", "walk", "run", "run", "run", "sit"]))
    return path


def test_clips_are_held_out(poses):
    rest, held = train.read_motion(poses, ["run"])
    assert rest.shape == held.shape == (3, 24, 3, 3)
    everything, none = train.read_motion(poses, [])
    assert none is None
    assert torch.equal(everything[[0, 1, 5]], rest)
    assert torch.equal(everything[2:5], held)
    assert train.read_motion(None, []) == (None, None)


@pytest.mark.parametrize(
    ("held_out", "says"),
    [
        (["swim"], r"^--hold-out=\['swim'\]: no such clips.*such as walk"),
        (["run", "walk", "sit"], r"^--hold-out=.*nothing is left to train on.*Hold out fewer"),
    ],
)
def test_clips_that_cannot_be_held_out(poses, held_out, says):
    with pytest.raises(InputError, match=says):
        train.read_motion(poses, held_out)


def test_clips_without_poses():
    with pytest.raises(InputError, match=r"^--hold-out=.*there are no poses.*Give --poses FILE"):
        train.read_motion(None, ["walk"])


def test_trains_on_real_poses(run, poses):
    assert run("--epochs", 1, "--poses", poses, "--hold-out", "sit") == 0
