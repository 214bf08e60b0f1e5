"""The input of the skeleton graph in which every joint sees all 2D keypoints."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bilayer_graph.models.node_features import JointFeatures
from bilayer_graph.nn import LayerNorm, Linear, WideLinear

HIDDEN = 768
DEPTH = 3


class ResidualLayer(nn.Module):
    r"""A residual layer, :math:`x + L_2(\mathrm{ReLU}(L_1(\mathrm{LN}(x))))`.

    Args:
        channels: Size of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm(channels)
        self.lin_in = Linear(channels, channels)
        self.lin_out = Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output."""
        change: Tensor = self.lin_out(self.lin_in(self.norm(x)).relu())
        return x + change


class PoseFeatures(nn.Module):
    r"""What each joint starts from: itself, and what all 2D keypoints together say of it.

    .. math:: x_j = \mathrm{JointFeatures}(p)_j + \mathrm{MLP}([p_1, c_1, \ldots, p_K, c_K])_j

    Depth is a matter of the whole pose. A layer shared by the joints leaves it to the few graph
    convolutions that follow; the residual MLP sees the pose at once and has an output of its own
    for every joint.

    Args:
        joint_features: The paper's input layer.
        num_keypoints: Number :math:`K` of keypoints.
        rows: Which keypoint each joint is, ``[J]``.
        channels: Size of each output feature.
        hidden: Width of the MLP.
        depth: Number of residual layers.

    Shapes:
        - maps: feature maps as :class:`~bilayer_graph.models.JointFeatures` takes them
        - keypoints: ``[B, K, 3]``, x and y in crop coordinates [-1, 1], confidence in [0, 1]
        - output: ``[B, J, C]``

    Source: the residual network over 2D joints follows Martinez et al., "A simple yet effective
    baseline for 3d human pose estimation", ICCV 2017.
    """

    rows: Tensor

    def __init__(
        self,
        joint_features: JointFeatures,
        num_keypoints: int,
        rows: Sequence[int],
        channels: int,
        hidden: int = HIDDEN,
        depth: int = DEPTH,
    ) -> None:
        super().__init__()
        self.num_keypoints = num_keypoints
        self.joint_features = joint_features
        self.register_buffer("rows", torch.tensor(rows), persistent=False)
        self.lin_in = WideLinear(3 * num_keypoints, hidden)
        self.layers = nn.ModuleList(ResidualLayer(hidden) for _ in range(depth))
        self.norm = LayerNorm(hidden, relu=True)
        self.lin_out = Linear(hidden, len(rows) * channels)

    def forward(self, maps: list[Tensor], keypoints: Tensor) -> Tensor:
        """Return the features of the joints."""
        joints: Tensor = self.joint_features(maps, keypoints[:, self.rows])
        return joints + self.pose(keypoints)

    def from_patches(self, patches: Tensor | None, keypoints: Tensor) -> Tensor:
        """Return the features of the joints from patches ``[B, K, C]`` at all keypoints."""
        shown = None if patches is None else patches[:, self.rows]
        joints = self.joint_features.from_patches(shown, keypoints[:, self.rows])
        return joints + self.pose(keypoints)

    def pose(self, keypoints: Tensor) -> Tensor:
        """Return what all keypoints together say of each joint, ``[B, J, C]``."""
        seen = (keypoints[..., 2:] > 0) & keypoints.isfinite().all(dim=-1, keepdim=True)
        known = torch.where(seen, keypoints, 0)
        pose: Tensor = self.lin_in(known.flatten(1)).to(self.lin_in.weight.dtype)
        for layer in self.layers:
            pose = layer(pose)
        pose = self.lin_out(self.norm(pose))
        joints: Tensor = pose.unflatten(1, (len(self.rows), -1))
        return joints
