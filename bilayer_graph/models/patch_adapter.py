"""From the patches of a frozen encoder to the joints' features, by way of a few numbers."""

import torch
from torch import Tensor, nn

HIDDEN = 32
_DROP_PATCH, _DROP_HIDDEN = 0.2, 0.3


class PatchAdapter(nn.Module):
    r"""A narrow layer between standardised patches and features, for few pictures.

    .. math:: W_2 \, \mathrm{ReLU}(W_1 \, (p - \mu) / \sigma + b_1) + b_2

    Dropout before both layers, and a start at 0: patches count for nothing until they are of use.

    Args:
        in_channels: Size of a patch.
        channels: Size of an output feature.
        hidden: Size of the narrow layer.

    Shapes:
        - input: ``[B, J, C_in]``, output: ``[B, J, C]``
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, in_channels: int, channels: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(in_channels))
        self.register_buffer("deviation", torch.ones(in_channels))
        self.lin_in = nn.Linear(in_channels, hidden)
        self.lin_out = nn.Linear(hidden, channels)
        self.drop_in = nn.Dropout(_DROP_PATCH)
        self.drop_hidden = nn.Dropout(_DROP_HIDDEN)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the learnable parameters."""
        self.lin_in.reset_parameters()
        nn.init.zeros_(self.lin_out.weight)
        nn.init.zeros_(self.lin_out.bias)

    @torch.no_grad()
    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Set what patches are centred on and divided by, ``[C_in]`` each."""
        self.mean.copy_(mean)
        # A channel that is always the same says nothing.
        self.deviation.copy_(deviation.clamp_min(1e-3))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        x = (x.to(self.mean.dtype) - self.mean) / self.deviation
        x = self.lin_out(self.drop_hidden(self.lin_in(self.drop_in(x)).relu()))
        return x
