"""Tensors of N people that a tool kept in a file, checked as they are read."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bilayer_graph.errors import InputError

Sizes = tuple[int | None, ...]
"""Sizes of a tensor after the first, N; ``None`` where any will do."""


class KeptTensors:
    """The kind of a file: what tensors it has.

    Args:
        argument: What errors call the file.
        kind: What it is, for errors.
        sizes: Of each tensor.
        marks: The one tensor that holds bits; all others hold floats.
    """

    def __init__(self, argument: str, kind: str, sizes: Mapping[str, Sizes], marks: str) -> None:
        self.argument = argument
        self.kind = kind
        self.sizes = sizes
        self.marks = marks

    def read(self, path: str | Path) -> dict[str, Tensor]:
        """Read a file.

        Raises:
            InputError: If there is no such file, it is of another kind, or a value is not finite.
        """
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise self._error(path, f"no {self.kind} ({type(error).__name__})") from error
        if tensors.keys() != self.sizes.keys():
            raise self._error(path, f"no {self.kind} (it has {', '.join(sorted(tensors)[:9])})")
        rows = {len(tensor) if tensor.dim() else 0 for tensor in tensors.values()}
        for name, tensor in tensors.items():
            self._check(path, name, tensor)
        if len(rows) > 1:
            raise self._error(path, f"its tensors are of {sorted(rows)} people")
        return tensors

    def _check(self, path: str | Path, name: str, tensor: Tensor) -> None:
        wanted = (None, *self.sizes[name])
        fits = tensor.dim() == len(wanted) and all(
            want in (None, have) for want, have in zip(wanted, tensor.shape, strict=True)
        )
        if not fits:
            raise self._error(path, f"{name} is {list(tensor.shape)}")
        if tensor.is_complex() or tensor.is_floating_point() == (name == self.marks):
            raise self._error(path, f"{name} is {tensor.dtype}")
        if not tensor.isfinite().all():
            raise self._error(path, f"{name} holds NaN or infinity")

    def _error(self, path: str | Path, problem: str) -> InputError:
        remedy = "Make it with tools/picture_features.py"
        return InputError(self.argument, path, problem, remedy)
