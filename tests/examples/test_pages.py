"""Examples are pages: short, and each by itself."""

import ast

import pytest
from example_scripts import EXAMPLES

PAGES = sorted(EXAMPLES.glob("*.py"))
NAMES = {page.stem for page in PAGES}


def test_there_are_pages():
    assert {"new_body", "recover_mesh", "train"} <= NAMES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_short(page):
    assert len(page.read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_imports_no_other(page):
    for node in ast.walk(ast.parse(page.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[-1] for alias in node.names} & NAMES
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            assert not {*node.module.split(".")} & {*NAMES, "examples", "benchmarks", "tools"}
