import argparse
from pathlib import Path

import pytest

from bilayer_graph.cli.numbers import count, json_path, picture_path, positive, rate, seed


def parse(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=positive, default=3)
    parser.add_argument("--workers", type=count)
    parser.add_argument("--seed", type=seed)
    parser.add_argument("--lr", type=rate)
    parser.add_argument("--out", type=picture_path, default="deep/default.png")
    parser.add_argument("--json", type=json_path)
    return parser.parse_args([str(word) for word in words])


def test_values(tmp_path):
    arguments = parse("--steps", 1, "--out", tmp_path / "a" / "b" / "picture.png")
    assert (arguments.steps, arguments.out) == (1, tmp_path / "a" / "b" / "picture.png")
    assert arguments.out.parent.is_dir()


def test_limits_are_values():
    arguments = parse("--workers", 0, "--seed", 2**32 - 1, "--lr", "1e-9", "--out", "a.png")
    assert (arguments.workers, arguments.seed, arguments.lr) == (0, 2**32 - 1, 1e-9)


def test_the_folder_of_a_default_is_made_only_if_it_is_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parse("--out", "other.png")
    assert not list(tmp_path.iterdir())
    assert parse().out == Path("deep/default.png")
    assert (tmp_path / "deep").is_dir()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--steps", 0), "argument --steps: 0 is less than 1"),
        (("--steps", 1.5), "argument --steps: invalid positive value: '1.5'"),
        (("--workers", -1), "argument --workers: -1 is less than 0"),
        (("--seed", -1), "argument --seed: -1 is less than 0"),
        (("--seed", 2**32), "argument --seed: 4294967296 is not below 2^32"),
        (("--lr", "nan"), "argument --lr: nan is no positive number"),
        (("--lr", "inf"), "argument --lr: inf is no positive number"),
        (("--lr", 0), "argument --lr: 0 is no positive number"),
        (("--lr", "fast"), "argument --lr: invalid rate value: 'fast'"),
        (("--out", "picture.jpg"), "argument --out: picture.jpg is no .png file"),
        (("--json", "figures.txt"), "argument --json: figures.txt is no .json file"),
        (("--out", __file__ + "/a/b.png"), "b.png cannot be made (Not a directory)"),
    ],
)
def test_bad_values(words, says, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse(*words)
    assert says in capsys.readouterr().err


def test_a_folder_is_no_picture(tmp_path, capsys):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SystemExit, match="2"):
        parse("--out", tmp_path / "folder.png")
    assert "is no .png file" in capsys.readouterr().err
