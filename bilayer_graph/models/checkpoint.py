"""Weights on disk: safetensors, with what is needed to build the model around them."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.models.bilayer_hmr import BilayerHMR
from bilayer_graph.models.variants import VARIANTS, build_model

SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "small.safetensors"
"""Weights of the small variant on the built-in body."""

_REMEDY = "Give a .safetensors file written by examples/train.py"


def save_model(model: BilayerHMR, variant: str, path: str | Path) -> None:
    """Write a model's weights, floating-point values in half precision.

    Args:
        model: The model.
        variant: Name of the variant that it is.
        path: File to write, replaced in one step so that no reader meets half a file.
    """
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    state = {name: tensor.contiguous().cpu() for name, tensor in state.items()}
    metadata = {"variant": variant, "template": model.template_digest}
    target = Path(path)
    partial = target.with_suffix(".partial")
    save_file(state, partial, metadata)
    partial.replace(target)


def load_model(
    path: str | Path = SHIPPED_WEIGHTS, body: BodyModel | None = None, variant: str | None = None
) -> BilayerHMR:
    """Build the model that a file holds the weights of.

    Args:
        path: File written by :func:`save_model`.
        body: Body that the weights were trained on; the built-in body if ``None``.
        variant: Name of the variant that is expected; any if ``None``.

    Returns:
        The model in evaluation mode, in float32, on the CPU.

    Raises:
        InputError: If the file is missing, truncated, no checkpoint of ours, of another variant or
            for another body.
    """
    state, metadata = _read(Path(path))
    found = metadata.get("variant")
    if found not in VARIANTS:
        raise InputError("weights", path, "not a checkpoint of this package", _REMEDY)
    if variant is not None and variant != found:
        remedy = f"Give weights of {variant!r}, or ask for {found!r}"
        raise InputError("weights", path, f"holds variant {found!r}, not {variant!r}", remedy)
    model = build_model(found, body or BodyModel.load())
    if metadata.get("template") != model.template_digest:
        remedy = "Give the body that the weights were trained on, or train on this one"
        raise InputError("weights", path, "trained on a body with another mesh", remedy)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        problem = f"does not fit variant {found!r} ({str(error).splitlines()[1].strip()})"
        raise InputError("weights", path, problem, _REMEDY) from error
    return model.eval()


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    if not path.is_file():
        raise InputError("weights", path, "no such file", _REMEDY)
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        problem = f"truncated, or not a safetensors file ({error})"
        raise InputError("weights", path, problem, _REMEDY) from error
