"""The page from a picture to a body."""

import runpy

from example_scripts import EXAMPLES
from predictors import picture, predictor, someone

from bilayer_graph import Predictor
from bilayer_graph.person import FILES


def run(monkeypatch, capsys, *words, people):
    monkeypatch.setattr(Predictor, "load", lambda: predictor(lambda image: people))
    monkeypatch.setattr("sys.argv", ["recover_mesh.py", *map(str, words)])
    runpy.run_path(str(EXAMPLES / "recover_mesh.py"))
    return capsys.readouterr().out


def test_the_sample(monkeypatch, capsys, tmp_path):
    printed = run(monkeypatch, capsys, "--out", tmp_path, people=[someone()])
    assert printed == f"1 people recovered into {tmp_path}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_several_people(monkeypatch, capsys, tmp_path):
    picture().save(tmp_path / "a.png")
    words = ["--image", tmp_path / "a.png", "--out", tmp_path / "out"]
    run(monkeypatch, capsys, *words, people=[someone(), someone(shift=40.0)])
    assert (tmp_path / "out/person_1/mesh.glb").is_file()
