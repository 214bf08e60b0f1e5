"""The image encoder that the detector's own network is: trained on people, and frozen."""

from typing import Any

import torch
from torch import Tensor, nn

from bilayer_graph.detection.weights_file import load_movenet

PICTURE = 256
"""Side in pixels of the crops that the network was made for."""


class MoveNetEncoder(nn.Module):
    """MoveNet Thunder up to its heads, with the weights that the package ships.

    It never trains: always in evaluation mode, without gradients. Its weights are in no state
    dict, since every installation has them.

    Shapes:
        - image: ``[B, 3, H, W]``, RGB in [0, 1], sides multiples of 32
        - output: the maps at 1/4, 1/8, 1/16 and 1/32 and the pyramid's at 1/4, ``[B, C_i, ., .]``,
          and the mean of the last map ``[B, 1280]``

    Raises:
        InputError: If the shipped weights are missing or damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = load_movenet("thunder").requires_grad_(False)
        # The heads are the detector's.
        self.network.heads = nn.ModuleDict()
        *taps, (last, coarsest) = self.network.lateral_channels
        self.channels = (*(size for size, _ in taps), coarsest, taps[0][1])
        self.pooled_channels = last
        self.eval()
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_pre_hook(_stay)

    def train(self, mode: bool = True) -> "MoveNetEncoder":
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the feature maps and the pooled feature."""
        maps, last = self.network.maps(image.to(self.network.stem.weight.dtype))
        return maps, last.mean(dim=(2, 3))


def _leave_out(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        del state[name]


def _stay(
    module: nn.Module,
    state: dict[str, Any],
    prefix: str,
    metadata: Any,
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Refuse other weights, and give the layers below their own."""
    if any(name.startswith(prefix) for name in state):
        errors.append(f"{prefix[:-1]}: these weights are the package's, no file's")
    own = [*module.named_parameters(), *module.named_buffers()]
    state.update({prefix + name: tensor.detach() for name, tensor in own})
