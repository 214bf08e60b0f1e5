"""The named variants of the model."""

from collections.abc import Callable
from pathlib import Path

from bilayer_graph.body import BodyModel
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
    return assemble_model(body, image_encoder("resnet50", weights))


def bilayer_small(body: BodyModel, weights: str | Path | None = None) -> BilayerHMR:
    """Build a model that trains on a CPU: MobileNetV2 at 128 pixels, 431 vertices, width 128.

    Args:
        body: The body that gives the template.
        weights: Weights of the backbone, as :func:`~bilayer_graph.models.image_encoder` takes them.
    """
    return assemble_model(
        body,
        image_encoder("mobilenet_v2", weights),
        image_size=128,
        num_vertices=431,
        channels=128,
        num_blocks=3,
        regressor_width=512,
    )


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


def assemble_model(
    body: BodyModel,
    encoder: ImageEncoder,
    *,
    image_size: int = 224,
    num_vertices: int = 1723,
    channels: int = 512,
    num_blocks: int = 5,
    regressor_width: int = 1024,
) -> BilayerHMR:
    """Build a model of any size around an image encoder; by default the paper's sizes.

    Args:
        body: The body that gives the template.
        encoder: The image encoder.
        image_size: Side of the pictures in pixels.
        num_vertices: A mesh size of the body, as :func:`~bilayer_graph.models.body_template`.
        channels: Width :math:`C` of the blocks, a multiple of 16.
        num_blocks: Number of Bilayer-Graph blocks.
        regressor_width: Width of the SMPL regressor's hidden layers.

    Raises:
        InputError: If the body has no mesh of this size, or the width is no multiple of 16.
    """
    template = body_template(body, num_vertices)
    graph = bilayer_graph(template.joints, template.vertices, template.faces)
    num_joints = template.joints.size(0)
    size = (num_joints, num_vertices)
    half = channels // 2
    fusion = graph[DRIVES].edge_index, graph[DRIVES].edge_weight
    return BilayerHMR(
        encoder=encoder,
        joint_features=JointFeatures(
            encoder.channels, channels, template.joints, body.skeleton.bones
        ),
        mesh_features=MeshFeatures(encoder.channels[-1], channels, template.vertices),
        skeleton=StaticGraph(graph[BONE].edge_index, graph[BONE].edge_weight, (num_joints,) * 2),
        mesh=StaticGraph(graph[EDGE].edge_index, graph[EDGE].edge_weight, (num_vertices,) * 2),
        blocks=[
            BilayerBlock(
                channels,
                channels,
                FusionConv(half, half, *fusion, size=size, bidirectional=True),
            )
            for _ in range(num_blocks)
        ],
        skeleton_head=NodeHead(channels, 3),
        mesh_head=NodeHead(channels, 3),
        camera_head=CameraHead(channels),
        regressor=SMPLRegressor(
            template.vertices, len(body.parents), regressor_width, body.shapedirs.size(-1)
        ),
        template=template,
        image_size=image_size,
    )
