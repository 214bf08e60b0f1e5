"""The human mesh recovery model and its parts."""

from bilayer_graph.models.bilayer_hmr import BilayerHMR
from bilayer_graph.models.body_head import BodyHead
from bilayer_graph.models.checkpoint import SHIPPED_WEIGHTS, load_model, load_pretrained, save_model
from bilayer_graph.models.config import PAPER, SMALL, ModelConfig
from bilayer_graph.models.encoder import ImageEncoder, image_encoder
from bilayer_graph.models.folding import fold_batch_norms
from bilayer_graph.models.heads import CameraHead, NodeHead
from bilayer_graph.models.movenet_encoder import MoveNetEncoder
from bilayer_graph.models.node_features import JointFeatures, MeshFeatures
from bilayer_graph.models.patch_adapter import PatchAdapter
from bilayer_graph.models.pose_features import PoseFeatures
from bilayer_graph.models.readouts import FreeReadout, HMROutput, PosedReadout, SkeletonOutput
from bilayer_graph.models.smpl_regressor import SMPLRegressor
from bilayer_graph.models.template import Template, body_template
from bilayer_graph.models.variants import (
    VARIANTS,
    assemble_model,
    build_model,
    with_picture,
)

__all__ = [
    "PAPER",
    "SHIPPED_WEIGHTS",
    "SMALL",
    "VARIANTS",
    "BilayerHMR",
    "BodyHead",
    "CameraHead",
    "FreeReadout",
    "HMROutput",
    "ImageEncoder",
    "JointFeatures",
    "MeshFeatures",
    "ModelConfig",
    "MoveNetEncoder",
    "NodeHead",
    "PatchAdapter",
    "PoseFeatures",
    "PosedReadout",
    "SMPLRegressor",
    "SkeletonOutput",
    "Template",
    "assemble_model",
    "body_template",
    "build_model",
    "fold_batch_norms",
    "image_encoder",
    "load_model",
    "load_pretrained",
    "save_model",
    "with_picture",
]
