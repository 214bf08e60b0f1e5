"""One module as one ONNX file."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bilayer_graph.errors import InputError, not_written

_FOLDED = 2**28
EXTRA = 'pip install "bilayer_graph[export]"'


def write_onnx(
    module: nn.Module,
    inputs: tuple[Tensor | None, ...],
    dynamic_shapes: tuple[dict[int, Any] | None, ...],
    names: tuple[Sequence[str], Sequence[str]],
    path: Path,
) -> None:
    """Export a module in evaluation mode, weights within the file.

    Args:
        module: The module.
        inputs: What it is called with once.
        dynamic_shapes: Of each input the sizes that may change, as :func:`torch.export.export`
            takes them.
        names: Of the inputs that are tensors, and of the outputs.
        path: File to write, replaced in one step so that no reader meets half a file.

    Raises:
        InputError: If the libraries of ONNX are missing, or the file cannot be written.
    """
    require("onnx", "onnxscript")
    with whole_file(path) as partial, quiet():
        program = torch.onnx.export(
            module.eval(),
            inputs,
            dynamo=True,
            input_names=names[0],
            output_names=names[1],
            dynamic_shapes=dynamic_shapes,
            verbose=False,
            # Its search for patterns takes minutes, and onnxruntime does that anyway.
            optimize=False,
        )
        assert program is not None
        _fold(program.model)
        program.save(partial)


def _fold(model: Any) -> None:
    """Compute what is constant, weights that torch transposes too: quantising needs them so."""
    from onnxscript import optimizer

    limits = {"input_size_limit": _FOLDED, "output_size_limit": _FOLDED}
    optimizer.fold_constants(model, **limits)
    optimizer.remove_unused_nodes(model)


def require(*libraries: str) -> None:
    """Raise an :class:`InputError` unless libraries are installed."""
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise InputError("onnx", ", ".join(missing), "not installed", f"Install it with {EXTRA}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes ``path`` at the end and is gone after an error."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What cannot be written is to be known before the minutes that the rest takes.
        partial.touch()
        yield partial
        partial.replace(path)
    except OSError as error:
        raise not_written("onnx", path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what torch and onnxscript say of their own insides to themselves."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
