"""The assembled model: an image and 2D joints in, a skeleton, a mesh, a camera and a pose out."""

from torch import Tensor, nn

from bilayer_graph.body import COCO_TO_JOINTS
from bilayer_graph.errors import InputError
from bilayer_graph.models.config import ModelConfig
from bilayer_graph.models.encoder import ImageEncoder
from bilayer_graph.models.movenet_encoder import MoveNetEncoder
from bilayer_graph.models.node_features import JointFeatures, MeshFeatures
from bilayer_graph.models.pose_features import PoseFeatures
from bilayer_graph.models.readouts import FreeReadout, HMROutput, PosedReadout, SkeletonOutput
from bilayer_graph.models.template import Template
from bilayer_graph.nn import BilayerBlock, StaticGraph
from bilayer_graph.ops import spmm


class BilayerHMR(nn.Module):
    """Joint skeleton and mesh recovery with a bilayer graph.

    Args:
        encoder: Image encoder, or ``None`` for a model that sees the 2D keypoints only.
        joint_features: Input layer of the skeleton graph.
        mesh_features: Input layer of the mesh graph.
        skeleton: The fixed skeleton graph.
        mesh: The fixed mesh graph.
        blocks: The Bilayer-Graph blocks.
        readout: From the features of both graphs to what the model says.
        template: The object at rest.
        config: What the model was built from.

    Shapes:
        - image: ``[B, 3, S, S]``, RGB in [0, 1]; ``None`` where there is no encoder, or where a
          model over a frozen one is to answer from the keypoints alone
        - keypoints: ``[B, K, 3]``: x and y in crop coordinates [-1, 1], and a confidence in
          [0, 1], 0 for a missing one; the skeleton's joints, or with :class:`PoseFeatures` over all
          keypoints those of the body (a human's 12 joints or COCO's 17 keypoints)
        - output: :class:`HMROutput`

    Raises:
        InputError: If a picture or keypoints of a call have another shape than the model takes.

    Source: Yu, van Baar, Chen, "Joint 3D Human Shape Recovery and Pose Estimation from a Single
    Image with Bilayer Graph", 3DV 2021.
    """

    vertex_index: Tensor

    def __init__(
        self,
        encoder: ImageEncoder | MoveNetEncoder | None,
        joint_features: JointFeatures | PoseFeatures,
        mesh_features: MeshFeatures,
        skeleton: StaticGraph,
        mesh: StaticGraph,
        blocks: list[BilayerBlock],
        readout: FreeReadout | PosedReadout,
        template: Template,
        config: ModelConfig,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.joint_features = joint_features
        self.mesh_features = mesh_features
        self.skeleton = skeleton
        self.mesh = mesh
        self.blocks = nn.ModuleList(blocks)
        self.readout = readout
        self.upsampling = nn.ModuleList(
            StaticGraph(*level.up(), size=(level.kept.numel(), level.up_index.size(0)))
            for level in reversed(template.levels)
        )
        self.config = config
        self.template_digest = template.digest()
        self.register_buffer("vertex_index", template.index, persistent=False)

    @property
    def image_size(self) -> int:
        """Side in pixels of the square pictures that the model takes."""
        return self.config.image_size

    def forward(self, image: Tensor | None, keypoints: Tensor) -> HMROutput:
        """Recover the people in a batch of crops."""
        self._check(image, keypoints)
        x = self.forward_crops(image, keypoints)
        out: HMROutput = self.readout(x, self._of_joints(keypoints))
        return out

    def forward_crops(self, image: Tensor | None, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of both graphs: the model without its readout."""
        if self.encoder is None or image is None:
            maps, pooled = [], keypoints.new_zeros(keypoints.size(0), 0)
        else:
            maps, pooled = self.encoder(image)
        return self.forward_graphs(maps, pooled, keypoints)

    def forward_graphs(
        self, maps: list[Tensor], pooled: Tensor, keypoints: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the features of both graphs: the model without its encoder and its readout.

        Args:
            maps: Feature maps of the encoder's stages, ``[B, C_i, H_i, W_i]``.
            pooled: Mean of the last one, ``[B, C_4]``.
            keypoints: ``[B, K, 3]``, as :meth:`forward` takes them.

        Returns:
            Features of the joints ``[B, J, C]`` and of the vertices ``[B, N_m, C]``.
        """
        return self._forward_blocks(self.joint_features(maps, keypoints), pooled)

    def forward_patches(self, patches: Tensor | None, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of both graphs from patches that were kept, without a picture.

        Args:
            patches: ``[B, K, C]``, as :func:`~bilayer_graph.models.node_features.keypoint_patches`
                takes them from the encoder's maps; ``None`` where there is no picture.
            keypoints: ``[B, K, 3]``, as :meth:`forward` takes them.
        """
        joints = self.joint_features.from_patches(patches, keypoints)
        return self._forward_blocks(joints, keypoints.new_zeros(keypoints.size(0), 0))

    def forward_skeleton(self, keypoints: Tensor, patches: Tensor | None = None) -> SkeletonOutput:
        """Return what the skeleton graph says without the mesh, at a tenth of the cost.

        It is what the whole model says as long as its fusion blocks are at their start, zero;
        training begins with it.

        Args:
            keypoints: ``[B, K, 3]``, as :meth:`forward` takes them.
            patches: As for :meth:`forward_patches`.

        Raises:
            InputError: If the model reads its body from the mesh.
        """
        if not isinstance(self.readout, PosedReadout):
            remedy = 'Build the model with readout="posed"'
            raise InputError("readout", "free", "the body comes from the mesh", remedy)
        x, graph = self.joint_features.from_patches(patches, keypoints), self.skeleton()
        for block in self.blocks:
            assert isinstance(block, BilayerBlock)
            x = block.branches[0](x, graph)
        return self.readout.skeleton(x)

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

    def from_coco(self, keypoints: Tensor) -> Tensor:
        """Return what a model of humans takes of COCO's keypoints ``[B, 17, 3]``: all, or 12."""
        if self.joint_features.num_keypoints == keypoints.size(1):
            return keypoints
        return keypoints[:, list(COCO_TO_JOINTS)]

    def _forward_blocks(self, joints: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        x = joints, self.mesh_features(pooled)
        graphs = self.skeleton(), self.mesh()
        for block in self.blocks:
            x = block(x, graphs)
        return x

    def _of_joints(self, keypoints: Tensor) -> Tensor:
        """Return the skeleton's own rows of the keypoints, ``[B, J, 3]``."""
        if isinstance(self.joint_features, PoseFeatures):
            return keypoints[:, self.joint_features.rows]
        return keypoints

    def _check(self, image: Tensor | None, keypoints: Tensor) -> None:
        size, number = self.image_size, self.joint_features.num_keypoints
        blind = image is None and isinstance(self.encoder, MoveNetEncoder)
        if self.encoder is not None and not blind:
            shape = None if image is None else list(image.shape)
            if shape is None or len(shape) != 4 or shape[1:] != [3, size, size]:
                remedy = f"Give a batch of crops of shape [B, 3, {size}, {size}]"
                raise InputError("image", shape, "not the model's picture size", remedy)
        batch = keypoints.size(0) if image is None else image.size(0)
        if keypoints.shape != (batch, number, 3):
            remedy = f"Give one row (x, y, confidence) a keypoint: [{batch}, {number}, 3]"
            raise InputError("keypoints", list(keypoints.shape), "not one set an image", remedy)
