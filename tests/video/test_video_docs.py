"""The snippets of docs/video.md run, and its tables name what there is."""

import argparse
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
from test_track import make_track
from videos import write_video

from bilayer_graph import Predictor
from bilayer_graph.cli import recover
from bilayer_graph.video import Track

PAGE = (Path(__file__).parents[2] / "docs/video.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_snippets_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_video("walk.mp4", size=(320, 240))
    Path("out/walk").mkdir(parents=True)
    make_track().save("out/walk/track_0.npz")
    names: dict = {}
    for snippet in SNIPPETS:
        exec(snippet, names)
    assert len(SNIPPETS) == 3
    assert isinstance(names["predictor"], Predictor)
    assert capsys.readouterr().out.count("(320, 240)") == 8


def test_tables(tmp_path):
    for field in fields(Track):
        assert f"`{field.name}`" in PAGE, field.name
    make_track().save(tmp_path / "track.npz")
    for name in np.load(tmp_path / "track.npz").files:
        assert f"`{name}" in PAGE, name
    parser = argparse.ArgumentParser()
    recover.add_arguments(parser)
    rows = re.findall(r"^\| `(--.*?) \|", PAGE, flags=re.MULTILINE)
    for option in re.findall(r"--[a-z-]+", " ".join(rows)):
        assert option in parser.format_help(), option
