"""The choice of tiles, by a clock that is made up; kernels run in Triton's interpreter."""

import json

import pytest
import torch

tune_tiles = pytest.importorskip("tune_tiles")
tiles = pytest.importorskip("bilayer_graph.ops._triton.tiles")

CPU = torch.device("cpu")
DEFAULT = tiles.table()["default"]["spmm"]
FAST, WRONG, SLOW = (DEFAULT._replace(warps=warps) for warps in (8, 16, 2))
TIMES = {DEFAULT: 1.0, FAST: 0.5, WRONG: 0.1, SLOW: 2.0}


@pytest.fixture(autouse=True)
def table():
    """The table as it is on disk, before and after."""
    tiles.table.cache_clear()
    yield tiles.table
    tiles.table.cache_clear()


def in_use():
    return tiles.tile("spmm", CPU)


def problem(wrong=()):
    expected = torch.ones(3)
    return tune_tiles.Problem(lambda: expected + (in_use() in wrong), expected)


def clock(run):
    run()
    return TIMES[in_use()]


def test_the_fastest_of_those_that_are_right():
    posed = [problem(), problem(wrong=[WRONG])]
    found = tune_tiles.tune("spmm", posed, [SLOW, WRONG, FAST], CPU, clock)
    assert found == (FAST, pytest.approx(0.5))
    assert in_use() == FAST


def test_the_default_stays_where_nothing_is_faster():
    found = tune_tiles.tune("spmm", [problem()], [SLOW], CPU, clock)
    assert found == (DEFAULT, 1.0)
    assert in_use() == DEFAULT


def test_who_cannot_be_launched_is_left_out():
    def run():
        if in_use() == FAST:
            raise RuntimeError("out of resource")
        return torch.ones(3)

    posed = [tune_tiles.Problem(run, torch.ones(3))]
    assert tune_tiles.tune("spmm", posed, [FAST], CPU, clock) == (DEFAULT, 1.0)


def test_the_mean_is_over_problems():
    """Twice as fast on one, three times as slow on the other."""
    slow = iter([1.0, 1.0, 0.5, 3.0])
    found = tune_tiles.tune("spmm", [problem()] * 2, [FAST], CPU, lambda run: next(slow))
    assert found == (DEFAULT, 1.0)


def test_what_is_written_is_read(tmp_path, monkeypatch):
    path = tmp_path / "tiles.json"
    path.write_text(tiles.TABLE.read_text())
    monkeypatch.setattr(tiles, "TABLE", path)
    dots = DEFAULT._replace(depth=4)
    other = tiles.table()["default"]["sddmm"]
    tune_tiles.write(path, "9.0", {"spmm": dots, "sddmm": other})
    assert json.loads(path.read_text())["9.0"].keys() == {"spmm"}
    tiles.table.cache_clear()
    assert tiles.table()["9.0"] == {**tiles.table()["default"], "spmm": dots}
    tune_tiles.write(path, "9.0", {"spmm": DEFAULT})
    assert json.loads(path.read_text())["9.0"] == {}


def test_the_table_is_written_as_it_stands(tmp_path):
    path = tmp_path / "tiles.json"
    path.write_text(tiles.TABLE.read_text())
    tune_tiles.write(path, "default", {})
    assert path.read_text() == tiles.TABLE.read_text()


@pytest.mark.parametrize("kernel", tune_tiles.CANDIDATES)
def test_problems_are_right_with_the_default(kernel, monkeypatch, kernel_device):
    monkeypatch.setattr(tune_tiles, "VERTICES", 431)
    size = tune_tiles.Size(1, 16, torch.float32, kernel_device)
    assert tune_tiles.is_right(tune_tiles.problems()[kernel](size))
    assert tiles.table()["default"][kernel] in tune_tiles.candidates(kernel)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(capsys):
    assert tune_tiles.main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "error: device=cuda: no such device here" in err
