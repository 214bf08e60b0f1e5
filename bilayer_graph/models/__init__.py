"""The human mesh recovery model and its parts."""

from bilayer_graph.models.bilayer_hmr import BilayerHMR, HMROutput
from bilayer_graph.models.checkpoint import SHIPPED_WEIGHTS, load_model, save_model
from bilayer_graph.models.encoder import ImageEncoder, image_encoder
from bilayer_graph.models.heads import CameraHead, NodeHead
from bilayer_graph.models.node_features import JointFeatures, MeshFeatures
from bilayer_graph.models.smpl_regressor import SMPLRegressor
from bilayer_graph.models.template import Template, body_template
from bilayer_graph.models.variants import (
    VARIANTS,
    assemble_model,
    bilayer_paper,
    bilayer_small,
    build_model,
)

__all__ = [
    "SHIPPED_WEIGHTS",
    "VARIANTS",
    "BilayerHMR",
    "CameraHead",
    "HMROutput",
    "ImageEncoder",
    "JointFeatures",
    "MeshFeatures",
    "NodeHead",
    "SMPLRegressor",
    "Template",
    "assemble_model",
    "bilayer_paper",
    "bilayer_small",
    "body_template",
    "build_model",
    "image_encoder",
    "load_model",
    "save_model",
]
