"""From the features of the two graphs to what the model says: freely, or through a body."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bilayer_graph.body import ReducedBody, fit_camera
from bilayer_graph.models.body_head import BodyHead
from bilayer_graph.models.heads import CameraHead, NodeHead
from bilayer_graph.models.smpl_regressor import SMPLRegressor
from bilayer_graph.nn import WideBuffers


@dataclass(frozen=True)
class HMROutput:
    """What the model says of a batch of people; camera axes, metres, pelvis at the origin.

    The skeleton has J joints and the body model K bones and S shape coefficients: 12, 24 and 10 of
    a human.

    Attributes:
        joints: Skeleton of the skeleton branch, ``[B, J, 3]``.
        vertices: Mesh of the mesh branch, ``[B, N_m, 3]``.
        mesh_joints: The same joints regressed from ``vertices``, ``[B, J, 3]``.
        camera: Weak perspective ``(s, tx, ty)``, ``[B, 3]``.
        global_orient: Rotation from the body's to the camera's axes, ``[B, 3, 3]``.
        body_pose: Rotations of the other bones relative to their parents, ``[B, K - 1, 3, 3]``.
        betas: Shape coefficients, ``[B, S]``.
    """

    joints: Tensor
    vertices: Tensor
    mesh_joints: Tensor
    camera: Tensor
    global_orient: Tensor
    body_pose: Tensor
    betas: Tensor


# A result of exported programs too.
torch.export.register_dataclass(
    HMROutput, serialized_type_name="bilayer_graph.models.readouts.HMROutput"
)


class FreeReadout(WideBuffers):
    """The paper's: a free mesh and a camera from the mesh graph, pose and shape from that mesh.

    Args:
        skeleton_head: From skeleton features to joints.
        mesh_head: From mesh features to vertices.
        camera_head: From mesh features to the camera.
        regressor: From vertices to the body model's pose and shape.
        joint_regressor: Joints from vertices, ``[J, N_m]``.

    Shapes:
        - x: skeleton and mesh features, ``([B, J, C], [B, N_m, C])``
        - keypoints: ``[B, J, 3]``, not needed
        - output: :class:`HMROutput`
    """

    joint_regressor: Tensor

    def __init__(
        self,
        skeleton_head: NodeHead,
        mesh_head: NodeHead,
        camera_head: CameraHead,
        regressor: SMPLRegressor,
        joint_regressor: Tensor,
    ) -> None:
        super().__init__()
        self.skeleton_head = skeleton_head
        self.mesh_head = mesh_head
        self.camera_head = camera_head
        self.regressor = regressor
        self.register_buffer("joint_regressor", joint_regressor, persistent=False)

    def points(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return joints, vertices and the camera: all but pose and shape."""
        return self.skeleton_head(x[0]), self.mesh_head(x[1]), self.camera_head(x[1])

    def forward(self, x: tuple[Tensor, Tensor], keypoints: Tensor) -> HMROutput:
        """Return what the features say."""
        joints, vertices, camera = self.points(x)
        rotations, betas = self.regressor(vertices)
        return HMROutput(
            joints=joints,
            vertices=vertices,
            mesh_joints=regress_joints(self.joint_regressor, vertices),
            camera=camera,
            global_orient=rotations[:, 0],
            body_pose=rotations[:, 1:],
            betas=betas,
        )


class SkeletonOutput(NamedTuple):
    """What the skeleton graph says alone.

    Attributes:
        joints: The skeleton, ``[B, J, 3]``, metres.
        rotations: Of the bones in camera axes, ``[B, K, 3, 3]``.
        betas: Shape coefficients, ``[B, S]``.
        body_vertices: The body model so posed, ``[B, N_m, 3]``.
        body_joints: Its joints, ``[B, J, 3]``.
    """

    joints: Tensor
    rotations: Tensor
    betas: Tensor
    body_vertices: Tensor
    body_joints: Tensor


class PosedReadout(WideBuffers):
    """Through a body: rotations and shape from the skeleton graph, offsets from the mesh graph.

    The mesh is the posed body plus one vector a vertex, zero in a new model, so that every mesh is
    a body. The camera is the one that projects it nearest to the keypoints.

    Args:
        skeleton_head: From skeleton features to joints.
        body_head: From skeleton features to rotations and shape.
        mesh_head: From mesh features to offsets.
        body: The body at the vertices of the mesh graph.
        joint_regressor: Joints from vertices, ``[J, N_m]``.

    Shapes:
        - x: skeleton and mesh features, ``([B, J, C], [B, N_m, C])``
        - keypoints: the skeleton's 2D joints, ``[B, J, 3]``
        - output: :class:`HMROutput`
    """

    joint_regressor: Tensor

    def __init__(
        self,
        skeleton_head: NodeHead,
        body_head: BodyHead,
        mesh_head: NodeHead,
        body: ReducedBody,
        joint_regressor: Tensor,
    ) -> None:
        super().__init__()
        self.skeleton_head = skeleton_head
        self.body_head = body_head
        self.mesh_head = mesh_head
        self.body = body
        self.register_buffer("joint_regressor", joint_regressor, persistent=False)
        nn.init.zeros_(mesh_head.lin_out.weight)
        nn.init.zeros_(mesh_head.lin_out.bias)

    def skeleton(self, x: Tensor) -> SkeletonOutput:
        """Return what the skeleton's features ``[B, J, C]`` say."""
        rotations, betas = self.body_head(x)
        bones = self.body.place(rotations, betas)
        return SkeletonOutput(
            joints=self.skeleton_head(x),
            rotations=rotations,
            betas=betas,
            body_vertices=self.body.vertices(bones),
            body_joints=self.body.joints(bones),
        )

    def parts(self, x: tuple[Tensor, Tensor]) -> tuple[SkeletonOutput, Tensor, Tensor]:
        """Return what the skeleton says, the mesh and its joints: what is trained."""
        skeleton = self.skeleton(x[0])
        vertices = skeleton.body_vertices + self.mesh_head(x[1])
        return skeleton, vertices, regress_joints(self.joint_regressor, vertices)

    def forward(self, x: tuple[Tensor, Tensor], keypoints: Tensor) -> HMROutput:
        """Return what the features say."""
        skeleton, vertices, mesh_joints = self.parts(x)
        relative = self.body.relative(skeleton.rotations)
        known = keypoints.isfinite().all(dim=-1)
        weight = torch.where(known, keypoints[..., 2], 0)
        return HMROutput(
            joints=skeleton.joints,
            vertices=vertices,
            mesh_joints=mesh_joints,
            camera=fit_camera(mesh_joints, keypoints[..., :2], weight),
            global_orient=relative[:, 0],
            body_pose=relative[:, 1:],
            betas=skeleton.betas,
        )


def regress_joints(regressor: Tensor, vertices: Tensor) -> Tensor:
    """Return joints ``[B, J, 3]`` of meshes ``[B, N, 3]``; float32 under autocast too."""
    # bfloat16 rounds coordinates by millimetres.
    with torch.autocast(vertices.device.type, enabled=False):
        return (vertices.transpose(1, 2) @ regressor.t()).transpose(1, 2)
