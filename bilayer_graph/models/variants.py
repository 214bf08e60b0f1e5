"""Models put together: the named variants, and any other."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn
from torch_geometric.data import HeteroData

from bilayer_graph.body import COCO_NAMES, COCO_TO_JOINTS, BodyModel, ReducedBody
from bilayer_graph.errors import InputError
from bilayer_graph.graphs import BONE, DRIVES, EDGE, bilayer_graph
from bilayer_graph.models.bilayer_hmr import BilayerHMR
from bilayer_graph.models.body_head import BodyHead
from bilayer_graph.models.config import PAPER, SMALL, ModelConfig
from bilayer_graph.models.encoder import ImageEncoder, image_encoder
from bilayer_graph.models.heads import CameraHead, NodeHead
from bilayer_graph.models.movenet_encoder import PICTURE, MoveNetEncoder
from bilayer_graph.models.node_features import JointFeatures, MeshFeatures
from bilayer_graph.models.pose_features import PoseFeatures
from bilayer_graph.models.readouts import FreeReadout, PosedReadout
from bilayer_graph.models.smpl_regressor import SMPLRegressor
from bilayer_graph.models.template import Template, body_template
from bilayer_graph.nn import BidirectionalFusionConv, BilayerBlock, StaticGraph

VARIANTS: dict[str, ModelConfig] = {"paper": PAPER, "small": SMALL}


def build_model(variant: str, body: BodyModel, weights: str | Path | None = None) -> BilayerHMR:
    """Build a variant by name.

    Args:
        variant: ``"paper"`` or ``"small"``.
        body: The body that gives the template.
        weights: Weights of the backbone, as :func:`~bilayer_graph.models.image_encoder` takes them.

    Raises:
        InputError: If there is no such variant, or the weights cannot be used.
    """
    if variant not in VARIANTS:
        raise InputError("variant", variant, "no such variant", f"Give one of {sorted(VARIANTS)}")
    return assemble_model(VARIANTS[variant], body, weights)


def assemble_model(
    config: ModelConfig, body: BodyModel, weights: str | Path | None = None
) -> BilayerHMR:
    """Build a model of any size.

    Args:
        config: Its sizes and parts.
        body: The body that gives the template.
        weights: Weights of the backbone, as :func:`~bilayer_graph.models.image_encoder` takes them.

    Raises:
        InputError: If the body has no mesh of this size or no keypoints beyond its joints, the
            width is no multiple of 16, or the weights cannot be used.
    """
    encoder = _encoder(config.backbone, weights)
    template = body_template(body, config.num_vertices)
    graph = bilayer_graph(template.joints, template.vertices, template.faces)
    image_channels = encoder.channels if encoder else ()
    pooled = encoder.pooled_channels if encoder and config.patch == "linear" else 0
    width = config.channels
    return BilayerHMR(
        encoder=encoder,
        joint_features=_joint_features(config, body, template, image_channels),
        mesh_features=MeshFeatures(pooled, width, template.vertices),
        skeleton=_static(graph, BONE),
        mesh=_static(graph, EDGE),
        blocks=[_block(config, graph) for _ in range(config.num_blocks)],
        readout=_READOUTS[config.readout](config, body, template),
        template=template,
        config=config,
    )


def with_picture(model: BilayerHMR, body: BodyModel) -> BilayerHMR:
    """Give a trained model the frozen encoder; it answers as before until it is trained further.

    Args:
        model: A model of ``readout="posed"`` that sees keypoints only, or has this encoder.
        body: The body that it was trained on.

    Raises:
        InputError: If the model sees pictures through another encoder, or reads its body from the
            mesh.
    """
    config = model.config
    if config.backbone == "movenet":
        return model
    if config.backbone != "none" or config.readout != "posed":
        problem = f"has backbone={config.backbone!r} and readout={config.readout!r}"
        remedy = 'Give one of backbone="none" and readout="posed"'
        raise InputError("model", "this one", problem, remedy)
    seeing = dataclasses.replace(config, backbone="movenet", image_size=PICTURE, patch="bottleneck")
    other = assemble_model(seeing, body)
    # What is missing is the adapter, which starts at 0.
    other.load_state_dict(model.state_dict(), strict=False)
    return other.train(model.training)


def _encoder(backbone: str, weights: str | Path | None) -> ImageEncoder | MoveNetEncoder | None:
    if backbone == "none":
        return None
    if backbone != "movenet":
        return image_encoder(backbone, weights)
    if weights is not None:
        raise InputError("weights", weights, "the package ships this encoder's", "Leave them out")
    return MoveNetEncoder()


def _static(graph: HeteroData, edge: tuple[str, str, str]) -> StaticGraph:
    return StaticGraph(graph[edge].edge_index, graph[edge].edge_weight)


def _block(config: ModelConfig, graph: HeteroData) -> BilayerBlock:
    half = config.channels // 2
    edges = graph[DRIVES].edge_index, graph[DRIVES].edge_weight
    fusion = BidirectionalFusionConv(half, half, *edges)
    block = BilayerBlock(config.channels, config.channels, fusion, config.norm)
    if config.readout == "posed":
        # The graphs start apart, so that the skeleton can be trained alone first.
        for name, parameter in block.fusions.named_parameters():
            if "lin_out" in name:
                nn.init.zeros_(parameter)
    return block


def _joint_features(
    config: ModelConfig, body: BodyModel, template: Template, image_channels: Sequence[int]
) -> JointFeatures | PoseFeatures:
    bones, joints = body.skeleton.bones, template.joints
    features = JointFeatures(image_channels, config.channels, joints, bones, config.patch)
    if config.joint_input == "node":
        return features
    rows: Sequence[int] = range(template.joints.size(0))
    if config.face:
        if body.keypoint_regressor.size(0) != len(COCO_NAMES):
            remedy = "Give face=False for a body that is no human"
            raise InputError("face", True, "the body has no COCO keypoints", remedy)
        rows = COCO_TO_JOINTS
    number = body.keypoint_regressor.size(0) if config.face else len(rows)
    return PoseFeatures(features, number, rows, config.channels, config.hidden)


def _free_readout(config: ModelConfig, body: BodyModel, template: Template) -> FreeReadout:
    betas = body.shapedirs.size(-1)
    return FreeReadout(
        skeleton_head=NodeHead(config.channels, 3, config.norm),
        mesh_head=NodeHead(config.channels, 3, config.norm),
        camera_head=CameraHead(config.channels, config.norm),
        regressor=SMPLRegressor(template.vertices, len(body.parents), config.hidden, betas),
        joint_regressor=template.joint_regressor,
    )


def _posed_readout(config: ModelConfig, body: BodyModel, template: Template) -> PosedReadout:
    joints, betas = template.joints.size(0), body.shapedirs.size(-1)
    return PosedReadout(
        skeleton_head=NodeHead(config.channels, 3, config.norm),
        body_head=BodyHead(joints, config.channels, len(body.parents), betas),
        mesh_head=NodeHead(config.channels, 3, config.norm),
        body=ReducedBody(body, template.index),
        joint_regressor=template.joint_regressor,
    )


_READOUTS: dict[str, Callable[..., FreeReadout | PosedReadout]] = {
    "free": _free_readout,
    "posed": _posed_readout,
}
