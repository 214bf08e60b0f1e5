"""What the nodes of the two graphs start from: local features at joints, the image at vertices."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bilayer_graph.models.patch_adapter import PatchAdapter
from bilayer_graph.models.patches import sample_patches
from bilayer_graph.nn import WideLinear

MIN_BOX = 0.05
"""Smallest side of a joint's box, in crop coordinates: a foreshortened person still needs one."""


def mean_bone_length(
    points: Tensor, present: Tensor, bones: Tensor, default: float = 0.3
) -> Tensor:
    """Return the mean length of the bones whose two ends are present.

    Args:
        points: 2D joints in crop coordinates, shape ``[B, J, 2]``.
        present: Which joints are known, shape ``[B, J]``.
        bones: Pairs of joints, ``[E, 2]``.
        default: Length in crop coordinates for a person without any complete bone.

    Returns:
        Shape ``[B]``, crop coordinates, at least :data:`MIN_BOX`.
    """
    start, end = bones.unbind(1)
    length = (points[:, start] - points[:, end]).norm(dim=-1)
    complete = (present[:, start] & present[:, end]).to(length.dtype)
    count = complete.sum(dim=1)
    mean = (length * complete).sum(dim=1) / count.clamp(min=1)
    return torch.where(count > 0, mean, default).clamp(min=MIN_BOX)


def keypoint_patches(maps: list[Tensor], keypoints: Tensor, rows: Tensor, bones: Tensor) -> Tensor:
    """Return what the maps of square pictures show at each keypoint, one map after the other.

    Args:
        maps: ``[B, C_i, H_i, W_i]``.
        keypoints: ``[B, K, 3]``, x and y in crop coordinates [-1, 1], confidence in [0, 1].
        rows: Which of them the joints are, ``[J]``.
        bones: Pairs of joints whose mean length is the side of a box, ``[E, 2]``.

    Returns:
        ``[B, K, sum C_i]``, float32; zero of missing keypoints.
    """
    present = (keypoints[..., 2:] > 0) & keypoints.isfinite().all(dim=-1, keepdim=True)
    position = torch.where(present, keypoints[..., :2], 0)
    side = mean_bone_length(position[:, rows], present[:, rows, 0], bones)
    patches = torch.cat([sample_patches(x, position, side) for x in maps], dim=-1)
    return patches * present


class JointFeatures(nn.Module):
    r"""The input of the skeleton graph: where each joint is, and what the picture shows there.

    .. math:: x_j = W \, [\,p_j, c_j, \bar x_j, \mathrm{RoIAlign}_1(p_j), \ldots,
        \mathrm{RoIAlign}_4(p_j)\,] + b

    with the 2D position :math:`p_j`, its confidence :math:`c_j` and the template joint
    :math:`\bar x_j`, which tells left from right. The box of a patch is centred on the joint; its
    side is the mean bone length in that picture. A joint of confidence 0, or whose numbers are not
    finite, is missing: of its input only the template joint remains.

    Args:
        stage_channels: Number of channels of each feature map; none of a model without a picture.
        channels: Size of each output feature.
        joints: Template joints in metres, shape ``[J, 3]``.
        bones: Pairs of joints whose mean length is the side of a box.
        patch: ``"linear"`` (the paper's, above) or ``"bottleneck"``: what
            :class:`~bilayer_graph.models.PatchAdapter` makes of the patches is added instead.

    Shapes:
        - maps: feature maps ``[B, C_i, H_i, W_i]`` of one square picture
        - keypoints: ``[B, J, 3]``, x and y in crop coordinates [-1, 1], confidence in [0, 1]
        - output: ``[B, J, C]``
    """

    joints: Tensor
    bones: Tensor

    def __init__(
        self,
        stage_channels: Sequence[int],
        channels: int,
        joints: Tensor,
        bones: Sequence[tuple[int, int]],
        patch: str = "linear",
    ) -> None:
        super().__init__()
        pairs = torch.tensor(bones, dtype=torch.long).view(-1, 2)
        self.register_buffer("bones", pairs, persistent=False)
        self.num_keypoints = joints.size(0)
        self.register_buffer("joints", joints, persistent=False)
        # One linear layer over the concatenation, as two: each part has its own initialisation.
        self.lin_position = WideLinear(6, channels)
        width = sum(stage_channels)
        self.lin_patch: nn.Linear | PatchAdapter | None = None
        if width and patch == "linear":
            self.lin_patch = nn.Linear(width, channels, bias=False)
        elif width:
            self.lin_patch = PatchAdapter(width, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the learnable parameters; patches count for nothing until they are of use."""
        self.lin_position.reset_parameters()
        if isinstance(self.lin_patch, nn.Linear):
            nn.init.zeros_(self.lin_patch.weight)
        elif self.lin_patch is not None:
            self.lin_patch.reset_parameters()

    def forward(self, maps: list[Tensor], keypoints: Tensor) -> Tensor:
        """Return the features of the joints."""
        return self.from_patches(self.patches(maps, keypoints), keypoints)

    def patches(self, maps: list[Tensor], keypoints: Tensor) -> Tensor | None:
        """Return what the picture shows at each joint, ``[B, J, sum C_i]``; no maps, nothing."""
        if self.lin_patch is None or not maps:
            return None
        every = torch.arange(keypoints.size(1), device=keypoints.device)
        return keypoint_patches(maps, keypoints, every, self.bones)

    def from_patches(self, patches: Tensor | None, keypoints: Tensor) -> Tensor:
        """Return the features of the joints from what :meth:`patches` gives."""
        batch, num_joints, _ = keypoints.shape
        present = (keypoints[..., 2:] > 0) & keypoints.isfinite().all(dim=-1, keepdim=True)
        position, confidence = torch.where(present, keypoints, 0).split([2, 1], dim=-1)
        template = self.joints.expand(batch, num_joints, 3)
        dtype = self.lin_position.weight.dtype
        placed = torch.cat([position, confidence, template], dim=-1)
        located: Tensor = self.lin_position(placed).to(dtype)
        # Without patches the picture counts for nothing, as in a new model.
        if self.lin_patch is None or patches is None:
            return located
        shown = self.lin_patch(patches.to(dtype))
        return located + torch.where(present, shown, 0)


class MeshFeatures(nn.Module):
    r"""The input of the mesh graph: template coordinates and the pooled image feature.

    .. math:: x_v = W [\bar x_v + g] + b = W_x \bar x_v + W_g g + b

    where ``+`` inside the brackets concatenates; the image part is computed once an image.

    Args:
        image_channels: Size of the pooled image feature; 0 of a model without a picture.
        channels: Size of each output feature.
        vertices: Template vertices in metres, shape ``[N, 3]``.

    Shapes:
        - pooled: ``[B, C_image]``, or ``[B, 0]`` where there is no picture
        - output: ``[B, N, C]``
    """

    vertices: Tensor

    def __init__(self, image_channels: int, channels: int, vertices: Tensor) -> None:
        super().__init__()
        self.register_buffer("vertices", vertices, persistent=False)
        self.lin_position = WideLinear(3, channels)
        width = image_channels
        self.lin_image = nn.Linear(width, channels, bias=False) if width else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the learnable parameters; the image counts for nothing until it is of use."""
        self.lin_position.reset_parameters()
        if self.lin_image is not None:
            nn.init.zeros_(self.lin_image.weight)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the features of the vertices."""
        located: Tensor = self.lin_position(self.vertices).to(self.lin_position.weight.dtype)
        if self.lin_image is None or not pooled.size(1):
            return located.expand(pooled.size(0), -1, -1)
        shown: Tensor = self.lin_image(pooled)
        return located + shown.unsqueeze(1)
