"""From the skeleton's features to the body model's rotations and shape."""

from torch import Tensor

from bilayer_graph.body import UPRIGHT, gram_schmidt
from bilayer_graph.nn import LayerNorm, Linear, WideBuffers, WideLinear

HIDDEN = 512


class BodyHead(WideBuffers):
    r"""The bones' rotations in camera axes, and the shape, read from all joints at once.

    .. math:: (d_1 .. d_K, \beta) = L_2(\mathrm{ReLU}(L_1(\mathrm{LN}([x_1 .. x_J])))), \qquad
        R_k = \mathrm{GramSchmidt}(R_0 + d_k)

    where :math:`d_k` is added to the first two columns of the upright rotation :math:`R_0`.
    Rotations in camera axes, not relative to the parents: an error in the trunk does not turn the
    limbs. The last layer is a
    :class:`~bilayer_graph.nn.WideLinear`.

    Args:
        num_joints: Number :math:`J` of joints of the skeleton graph.
        channels: Size of each joint's feature.
        num_rotations: Number :math:`K` of bones.
        num_betas: Number of shape coefficients.

    Shapes:
        - input: ``[B, J, C]``
        - output: rotations ``[B, K, 3, 3]`` and ``[B, S]``

    Source: the six numbers a rotation are those of Zhou et al., "On the Continuity of Rotation
    Representations in Neural Networks", CVPR 2019.
    """

    upright: Tensor

    def __init__(self, num_joints: int, channels: int, num_rotations: int, num_betas: int) -> None:
        super().__init__()
        self.num_rotations = num_rotations
        self.num_betas = num_betas
        self.norm = LayerNorm(num_joints * channels)
        self.lin_in = Linear(num_joints * channels, HIDDEN)
        self.lin_out = WideLinear(HIDDEN, 6 * num_rotations + num_betas)
        self.register_buffer("upright", UPRIGHT[:, :2].t().contiguous(), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rotations and the shape coefficients."""
        x = self.lin_in(self.norm(x.flatten(1))).relu()
        six, betas = self.lin_out(x).split([6 * self.num_rotations, self.num_betas], dim=1)
        columns = six.view(-1, self.num_rotations, 2, 3) + self.upright
        return gram_schmidt(columns), betas
