"""From a predicted mesh to the pose and the shape of the body model."""

import torch
from torch import Tensor, nn

from bilayer_graph.body import nearest_rotation
from bilayer_graph.nn import WideLinear

SMPL_BETAS = 10


class SMPLRegressor(nn.Module):
    r"""A multilayer perceptron from a mesh to SMPL's pose and shape.

    .. math:: (M_1 .. M_K, \beta) = \mathrm{MLP}([\,v, \bar v\,]), \qquad R_k =
        \mathop{\mathrm{argmin}}_{R \in SO(3)} \lVert R - M_k \rVert_F

    The mesh is detached, so that the regressor does not pull on it. Float32 under autocast too.

    Args:
        vertices: Template vertices in metres, shape ``[N, 3]``.
        num_rotations: Number of joints of the body model, the root included.
        hidden: Width of the two hidden layers.
        num_betas: Number of shape coefficients.

    Shapes:
        - input: predicted vertices in metres, ``[B, N, 3]``
        - output: rotations ``[B, K, 3, 3]`` (the first is the global orientation) and ``[B, S]``

    Source: GraphCMR (Kolotouros et al., CVPR 2019), section 3.4.
    """

    template: Tensor

    def __init__(
        self, vertices: Tensor, num_rotations: int, hidden: int, num_betas: int = SMPL_BETAS
    ) -> None:
        super().__init__()
        self.register_buffer("template", vertices.flatten(), persistent=False)
        self.num_rotations = num_rotations
        self.num_betas = num_betas
        self.lin_in = nn.Linear(2 * vertices.numel(), hidden)
        self.lin_hidden = nn.Linear(hidden, hidden)
        self.lin_out = WideLinear(hidden, 9 * num_rotations + num_betas)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the learnable parameters; the first answer is near the template's pose."""
        for layer in (self.lin_in, self.lin_hidden, self.lin_out):
            layer.reset_parameters()
        with torch.no_grad():
            self.lin_out.weight.mul_(0.1)
            rest = torch.eye(3).flatten().repeat(self.num_rotations)
            self.lin_out.bias.copy_(torch.cat([rest, torch.zeros(self.num_betas)]))

    def forward(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rotations and the shape coefficients."""
        with torch.autocast(vertices.device.type, enabled=False):
            mesh = vertices.detach().flatten(1).to(self.template.dtype)
            x = torch.cat([mesh, self.template.expand_as(mesh)], dim=1)
            x = self.lin_in(x).relu()
            x = x + self.lin_hidden(x).relu()
            pose, betas = self.lin_out(x).split([9 * self.num_rotations, self.num_betas], dim=1)
            return nearest_rotation(pose.view(-1, self.num_rotations, 3, 3)), betas
