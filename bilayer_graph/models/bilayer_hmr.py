"""The assembled model: an image and 2D joints in, a skeleton, a mesh, a camera and a pose out."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bilayer_graph.errors import InputError
from bilayer_graph.models.encoder import ImageEncoder
from bilayer_graph.models.heads import CameraHead, NodeHead
from bilayer_graph.models.node_features import JointFeatures, MeshFeatures
from bilayer_graph.models.smpl_regressor import SMPLRegressor
from bilayer_graph.models.template import Template
from bilayer_graph.nn import BilayerBlock, StaticGraph
from bilayer_graph.ops import spmm


@dataclass(frozen=True)
class HMROutput:
    """What the model says of a batch of people; camera axes, metres, pelvis at the origin.

    Attributes:
        joints: Skeleton of the skeleton branch, ``[B, 12, 3]``.
        vertices: Mesh of the mesh branch, ``[B, N_m, 3]``.
        mesh_joints: The same joints regressed from ``vertices``, ``[B, 12, 3]``.
        camera: Weak perspective ``(s, tx, ty)``, ``[B, 3]``.
        global_orient: Rotation from the body's to the camera's axes, ``[B, 3, 3]``.
        body_pose: Rotations of the other joints of the body model, ``[B, 23, 3, 3]``.
        betas: Shape coefficients, ``[B, 10]``.
    """

    joints: Tensor
    vertices: Tensor
    mesh_joints: Tensor
    camera: Tensor
    global_orient: Tensor
    body_pose: Tensor
    betas: Tensor


class BilayerHMR(nn.Module):
    """Joint skeleton and mesh recovery with a bilayer graph.

    Args:
        encoder: Image encoder.
        joint_features: Input layer of the skeleton graph.
        mesh_features: Input layer of the mesh graph.
        skeleton: The fixed skeleton graph.
        mesh: The fixed mesh graph.
        blocks: The Bilayer-Graph blocks.
        skeleton_head: From skeleton features to joints.
        mesh_head: From mesh features to vertices.
        camera_head: From mesh features to the camera.
        regressor: From vertices to the body model's pose and shape.
        template: The object at rest.
        image_size: Side in pixels of the square pictures that the model takes.

    Shapes:
        - image: ``[B, 3, S, S]``, RGB in [0, 1]
        - keypoints: ``[B, 12, 3]``: x and y in crop coordinates [-1, 1], and a confidence in
          [0, 1], 0 for a missing joint
        - output: :class:`HMROutput`

    Source: Yu, van Baar, Chen, "Joint 3D Human Shape Recovery and Pose Estimation from a Single
    Image with Bilayer Graph", 3DV 2021.
    """

    joint_regressor: Tensor
    vertex_index: Tensor

    def __init__(
        self,
        encoder: ImageEncoder,
        joint_features: JointFeatures,
        mesh_features: MeshFeatures,
        skeleton: StaticGraph,
        mesh: StaticGraph,
        blocks: list[BilayerBlock],
        skeleton_head: NodeHead,
        mesh_head: NodeHead,
        camera_head: CameraHead,
        regressor: SMPLRegressor,
        template: Template,
        image_size: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.joint_features = joint_features
        self.mesh_features = mesh_features
        self.skeleton = skeleton
        self.mesh = mesh
        self.blocks = nn.ModuleList(blocks)
        self.skeleton_head = skeleton_head
        self.mesh_head = mesh_head
        self.camera_head = camera_head
        self.regressor = regressor
        self.upsampling = nn.ModuleList(
            StaticGraph(*level.up(), size=(level.kept.numel(), level.up_index.size(0)))
            for level in reversed(template.levels)
        )
        self.image_size = image_size
        self.template_digest = template.digest()
        self.register_buffer("joint_regressor", template.joint_regressor, persistent=False)
        self.register_buffer("vertex_index", template.index, persistent=False)

    def forward(self, image: Tensor, keypoints: Tensor) -> HMROutput:
        """Recover the people in a batch of crops."""
        self._check(image, keypoints)
        maps, pooled = self.encoder(image)
        joints, vertices, camera = self.forward_head(maps, pooled, keypoints)
        rotations, betas = self.regressor(vertices)
        return HMROutput(
            joints=joints,
            vertices=vertices,
            mesh_joints=self._regress_joints(vertices),
            camera=camera,
            global_orient=rotations[:, 0],
            body_pose=rotations[:, 1:],
            betas=betas,
        )

    def forward_head(
        self, maps: list[Tensor], pooled: Tensor, keypoints: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Recover the people from the image encoder's output: the graph part of the model.

        Args:
            maps: Feature maps of the encoder's stages, ``[B, C_i, H_i, W_i]``.
            pooled: Mean of the last one, ``[B, C_4]``.
            keypoints: ``[B, 12, 3]``, as :meth:`forward` takes them.

        Returns:
            Joints ``[B, 12, 3]``, vertices ``[B, N_m, 3]`` and camera ``[B, 3]``.
        """
        x = self.joint_features(maps, keypoints), self.mesh_features(pooled)
        graphs = self.skeleton(), self.mesh()
        for block in self.blocks:
            x = block(x, graphs)
        return self.skeleton_head(x[0]), self.mesh_head(x[1]), self.camera_head(x[1])

    def upsample(self, vertices: Tensor) -> list[Tensor]:
        """Return a predicted mesh at every finer level, up to the full mesh.

        Args:
            vertices: ``[B, N_m, 3]``.

        Returns:
            Meshes from coarse to fine, ``vertices`` itself first.
        """
        meshes = [vertices]
        for up in self.upsampling:
            meshes.append(spmm(up(), meshes[-1]))
        return meshes

    def _regress_joints(self, vertices: Tensor) -> Tensor:
        # In float32 under autocast too: bfloat16 rounds coordinates by millimetres.
        with torch.autocast(vertices.device.type, enabled=False):
            return (vertices.transpose(1, 2) @ self.joint_regressor.t()).transpose(1, 2)

    def _check(self, image: Tensor, keypoints: Tensor) -> None:
        size = self.image_size
        if image.dim() != 4 or image.shape[1:] != (3, size, size):
            remedy = f"Give a batch of crops of shape [B, 3, {size}, {size}]"
            raise InputError("image", list(image.shape), "not the model's picture size", remedy)
        joints = self.joint_features.joints.size(0)
        if keypoints.shape != (image.size(0), joints, 3):
            remedy = f"Give one row (x, y, confidence) a joint: [{image.size(0)}, {joints}, 3]"
            raise InputError("keypoints", list(keypoints.shape), "not one set an image", remedy)
