"""The house: imports run one way, and some libraries have one room only."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import bilayer_graph

PACKAGE = Path(bilayer_graph.__file__).parent
# From the bottom: a room imports those before it only.
ROOMS = [
    *("errors", "graphs", "ops", "nn", "body", "detection", "models"),
    *("pictures", "render", "person", "recovery", "video", "predict", "export"),
    *("synthetic", "training", "cli", "testing"),
]
FILES = sorted(PACKAGE.rglob("*.py"))
# Libraries that one room alone imports.
ONLY = {"triton": "ops/_triton", "pytorch_lightning": "training/lightning", "av": "video"}


def imported(path):
    """Every module that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_room_is_known():
    assert {room(path) for path in FILES} == {*ROOMS, "__init__"}


@pytest.mark.parametrize("name", ROOMS)
def test_imports_run_one_way(name):
    below = {*ROOMS[: ROOMS.index(name) + 1]}
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in FILES
        if room(path) == name
        for module in imported(path)
        if module.startswith("bilayer_graph.") and module.split(".")[1] not in below
    ]
    assert not wrong


@pytest.mark.parametrize("library", ONLY)
def test_a_library_has_one_room(library):
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(module.split(".")[0] == library for module in imported(path))
    }
    allowed = {user for user in users if user.startswith(ONLY[library])}
    # The command seeds Lightning's generators.
    assert users - allowed <= {"cli/train.py"}
    assert allowed


@pytest.mark.parametrize("name", [name for name in ROOMS if (PACKAGE / name).is_dir()])
def test_no_module_hides_behind_a_function_of_its_name(name):
    package = importlib.import_module(f"bilayer_graph.{name}")
    for module in pkgutil.iter_modules(package.__path__):
        shown = getattr(package, module.name, None)
        assert shown is None or type(shown).__name__ == "module", module.name
