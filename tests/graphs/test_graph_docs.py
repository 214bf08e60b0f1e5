"""The snippets of docs/graphs.md run, one after the other, and say the truth."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "graphs.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
SHAPE = re.compile(r"^(data\[.*\]\.\w+)  # (\[[\d, ]+\])", flags=re.MULTILINE)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_snippets_run():
    names: dict = {}
    shapes = []
    for snippet in SNIPPETS:
        exec(snippet, names)
        for expression, shape in SHAPE.findall(snippet):
            assert str(list(eval(expression, names).shape)) == shape
            shapes.append(shape)
    assert len(SNIPPETS) == 8
    assert len(shapes) == 4
    assert names["batch"].num_graphs == 2
    assert names["data"].node_types == ["atom", "group"]
