"""Weights on disk: safetensors, with what is needed to build the model around them."""

from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError, not_written
from bilayer_graph.models.bilayer_hmr import BilayerHMR
from bilayer_graph.models.config import ModelConfig
from bilayer_graph.models.folding import is_folded
from bilayer_graph.models.variants import VARIANTS, assemble_model

_FOLDER = Path(__file__).parent / "weights"
SHIPPED_WEIGHTS = _FOLDER / "small.safetensors"
"""Weights of the small variant on the built-in body."""

_REMEDY = "Give a .safetensors file written by save_model or by training"


def load_pretrained(variant: str = "small") -> BilayerHMR:
    """Build a variant with the weights that the package ships, for the built-in body.

    Args:
        variant: ``"small"``.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        InputError: If no weights of this variant are shipped.
    """
    shipped = sorted(path.stem for path in _FOLDER.glob("*.safetensors"))
    if variant not in shipped:
        remedy = f"Give one of {shipped}, or train it"
        raise InputError("variant", variant, "no weights are shipped", remedy)
    return load_model(_FOLDER / f"{variant}.safetensors")


def save_model(model: BilayerHMR, path: str | Path) -> None:
    """Write a model's weights and what it is built from, floats in half precision.

    Args:
        model: The model.
        path: File to write, replaced in one step so that no reader meets half a file.

    Raises:
        InputError: If a weight is not finite or too large for half precision, the model is one
            that was folded for inference, or the file cannot be written.
    """
    if is_folded(model):
        remedy = "Save the model that it was made of"
        raise InputError("model", "fold_batch_norms(..)", "its batch norms are gone", remedy)
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in model.state_dict().items()
    }
    broken = _not_finite(state)
    if broken is not None:
        problem = "NaN, infinity or a value beyond half precision, which ends at 65504"
        raise InputError("model", broken, problem, "Keep the weights in that range, or scale them")
    metadata = {"config": model.config.to_json(), "template": model.template_digest}
    target = Path(path)
    partial = Path(f"{target}.partial")
    try:
        save_file(state, partial, metadata)
        partial.replace(target)
    except (OSError, ValueError, SafetensorError) as error:
        with suppress(OSError, ValueError):
            partial.unlink()
        raise not_written("path", target, error) from error


def load_model(
    path: str | Path = SHIPPED_WEIGHTS, body: BodyModel | None = None, variant: str | None = None
) -> BilayerHMR:
    """Build the model that a file holds the weights of.

    Args:
        path: File written by :func:`save_model`.
        body: Body that the weights were trained on; the built-in body if ``None``.
        variant: Name of the variant that is expected; any model if ``None``.

    Returns:
        The model in evaluation mode, in float32, on the CPU.

    Raises:
        InputError: If the file is missing, truncated, no checkpoint of ours, of another model than
            ``variant`` or for another body, or holds values that are not finite.
    """
    state, metadata = _read(Path(path))
    if "config" not in metadata:
        raise InputError("weights", path, "not a checkpoint of this package", _REMEDY)
    try:
        config = ModelConfig.from_json(metadata["config"])
    except InputError as error:
        raise InputError("weights", path, f"of an unknown model ({error})", _REMEDY) from error
    if variant is not None and config != VARIANTS[variant]:
        remedy = f"Give weights of {variant!r}, or leave the variant out"
        raise InputError("weights", path, f"holds {config}, not {variant!r}", remedy)
    _check_size(path, config, state)
    try:
        model = assemble_model(config, body or BodyModel.load())
    except InputError as error:
        remedy = "Give the body that the weights were trained on"
        raise InputError("weights", path, f"do not fit this body ({error})", remedy) from error
    if metadata.get("template") != model.template_digest:
        remedy = "Give the body that the weights were trained on, or train on this one"
        raise InputError("weights", path, "trained on a body with another mesh", remedy)
    for name, tensor in model.state_dict().items():
        # Copying between kinds of numbers succeeds, and loses what was there.
        given = state.get(name, tensor)
        if given.is_complex() or given.is_floating_point() != tensor.is_floating_point():
            problem = f"does not fit its own model ({name} is {given.dtype})"
            raise InputError("weights", path, problem, _REMEDY)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        problem = f"does not fit its own model ({str(error).splitlines()[1].strip()})"
        raise InputError("weights", path, problem, _REMEDY) from error
    broken = _not_finite(model.state_dict())
    if broken is not None:
        raise InputError("weights", path, f"{broken} holds NaN or infinity", _REMEDY)
    return model.float().eval()


def _check_size(path: str | Path, config: ModelConfig, state: dict[str, torch.Tensor]) -> None:
    """Refuse sizes that the file has no weights for, before memory is taken for them."""
    has_hidden = config.joint_input == "pose" or config.readout == "free"
    least = config.num_blocks * config.channels**2 + has_hidden * config.hidden**2
    there = sum(tensor.numel() for tensor in state.values())
    if least > there:
        problem = f"does not fit its own model (of {least} weights and more, {there} are there)"
        raise InputError("weights", path, problem, _REMEDY)


def _not_finite(state: dict[str, torch.Tensor]) -> str | None:
    """Return the name of a tensor that holds NaN or infinity, if there is one."""
    return next((name for name, tensor in state.items() if not tensor.isfinite().all()), None)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        if not path.is_file():
            raise InputError("weights", path, "no such file", _REMEDY)
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, MemoryError) as error:
        problem = f"truncated, or not a safetensors file ({error})"
        raise InputError("weights", path, problem, _REMEDY) from error
