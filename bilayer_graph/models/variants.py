"""The named variants of the model."""

from collections.abc import Callable
from pathlib import Path

from bilayer_graph.body import BONES, BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.graphs import BONE, DRIVES, EDGE, bilayer_graph
from bilayer_graph.models.bilayer_hmr import BilayerHMR
from bilayer_graph.models.encoder import ImageEncoder, image_encoder
from bilayer_graph.models.heads import CameraHead, NodeHead
from bilayer_graph.models.node_features import JointFeatures, MeshFeatures
from bilayer_graph.models.smpl_regressor import SMPLRegressor
from bilayer_graph.models.template import body_template
from bilayer_graph.nn import BilayerBlock, FusionConv, StaticGraph


def bilayer_paper(body: BodyModel, weights: str | Path | None = None) -> BilayerHMR:
    """Build the paper's model: ResNet-50 at 224 pixels, 1723 vertices, width 512, 5 blocks.

    Args:
        body: The body that gives the template.
        weights: Weights of the backbone, as :func:`~bilayer_graph.models.image_encoder` takes them.
    """
    return _assemble(body, image_encoder("resnet50", weights), 224, 1723, 512, 5, 1024)


def bilayer_small(body: BodyModel, weights: str | Path | None = None) -> BilayerHMR:
    """Build a model that trains on a CPU: MobileNetV2 at 128 pixels, 431 vertices, width 128.

    Args:
        body: The body that gives the template.
        weights: Weights of the backbone, as :func:`~bilayer_graph.models.image_encoder` takes them.
    """
    return _assemble(body, image_encoder("mobilenet_v2", weights), 128, 431, 128, 3, 512)


VARIANTS: dict[str, Callable[..., BilayerHMR]] = {"paper": bilayer_paper, "small": bilayer_small}


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
    return VARIANTS[variant](body, weights)


def _assemble(
    body: BodyModel,
    encoder: ImageEncoder,
    image_size: int,
    num_vertices: int,
    channels: int,
    num_blocks: int,
    regressor_width: int,
) -> BilayerHMR:
    template = body_template(body, num_vertices)
    graph = bilayer_graph(template.joints, template.vertices, template.faces)
    num_joints = template.joints.size(0)
    size = (num_joints, num_vertices)
    half = channels // 2
    fusion = graph[DRIVES].edge_index, graph[DRIVES].edge_weight
    return BilayerHMR(
        encoder=encoder,
        joint_features=JointFeatures(encoder.channels, channels, template.joints, BONES),
        mesh_features=MeshFeatures(encoder.channels[-1], channels, template.vertices),
        skeleton=StaticGraph(graph[BONE].edge_index, graph[BONE].edge_weight, (num_joints,) * 2),
        mesh=StaticGraph(graph[EDGE].edge_index, graph[EDGE].edge_weight, (num_vertices,) * 2),
        blocks=[
            BilayerBlock(channels, FusionConv(half, half, *fusion, size=size))
            for _ in range(num_blocks)
        ],
        skeleton_head=NodeHead(channels, 3),
        mesh_head=NodeHead(channels, 3),
        camera_head=CameraHead(channels),
        regressor=SMPLRegressor(template.vertices, len(body.parents), regressor_width),
        template=template,
        image_size=image_size,
    )
