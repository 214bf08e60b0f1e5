"""What a command says beside its result: lines on stderr, above a progress bar."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from bilayer_graph.errors import one_line


def say(text: object) -> None:
    """Print one line to stderr, whatever the text."""
    tqdm.write(one_line(text), file=sys.stderr)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings as a line each, without the line of code that gave them."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
