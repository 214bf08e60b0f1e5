"""A headless browser for pages, and packages of Node, where the machine has them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

_OPTIONS = [
    *("--headless=new", "--no-sandbox", "--hide-scrollbars", "--enable-logging=stderr"),
    # WebGL without a GPU; modules from files.
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--allow-file-access-from-files"),
    *("--virtual-time-budget=4000", "--window-size=1000,640"),
]


def visit(page: Path, *options: object) -> tuple[str, list[str]]:
    """Open a page; return what the browser prints and the messages of its console."""
    profile = f"--user-data-dir={page.with_suffix('.profile')}"
    words = [BROWSER, *_OPTIONS, profile, *map(str, options), page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=True)
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def node_package(name: str) -> Path:
    """Return the folder of a package of Node; skip the test where there is none."""
    folders = os.environ.get("NODE_PATH", "node_modules").split(os.pathsep)
    found = [Path(folder, name).resolve() for folder in folders if Path(folder, name).is_dir()]
    if not found:
        pytest.skip(f"no npm package {name}: install it, and name its node_modules in NODE_PATH")
    return found[0]
