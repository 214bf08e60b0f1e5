"""One dialect of docstrings, as far as ruff does not see to it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("bilayer_graph", "tools", "benchmarks", "examples")
FILES = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
QUOTED = re.compile(r"``.*?``|:\w+:`[^`]*`", re.DOTALL)
# [B, N, 3], [.., C], [2, E] and the like; [-1, 1] and [0, 1] are ranges, data[EDGE] is code.
SHAPE = re.compile(r"(?<!\w)\[(?:\.\.[^]]*|[A-Z]\w*(?:, [^]]*)?|(?:[2-9]|\d\d+), [^]]*)\]")
OPENING = re.compile(r"\n *(?:\w*Error): (?!If |As )")


def docstrings(path):
    """Every text that stands alone in a file: docstrings, also those below constants."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Expr(ast.Constant(str(text))):
                yield node.lineno, text


def found(look):
    return [
        f"{path.relative_to(ROOT)}:{line} {hits}"
        for path in FILES
        for line, text in docstrings(path)
        if (hits := look(text))
    ]


def test_shapes_and_code_stand_in_double_backticks():
    assert not found(lambda text: SHAPE.findall(QUOTED.sub("", text)))
    assert not found(lambda text: re.findall(r"`.*?`", QUOTED.sub("", text)))


def test_errors_are_said_as_conditions():
    assert not found(OPENING.findall)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("points ``[N, 3]`` in [-1, 1] and [0, 1)", 0),
        ("points [N, 3], [..., 2], [.., C], [12, 3] and [E]", 5),
        (":func:`x` of ``[B, N]`` and\n``[2, E]``", 0),
    ],
)
def test_the_search_knows_a_shape(text, number):
    assert len(SHAPE.findall(QUOTED.sub("", text))) == number
