"""What the model benchmark times: a block, the head beside others' heads, and whole models."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from fastmetro_head import FastMetroHead
from graphcmr_head import GraphCMRHead
from plain_layers import in_plain_torch
from torch import Tensor, nn

from bilayer_graph.body import BodyModel
from bilayer_graph.models import (
    PAPER,
    VARIANTS,
    BilayerHMR,
    FreeReadout,
    ImageEncoder,
    ModelConfig,
    assemble_model,
    fold_batch_norms,
)

CHANNELS = 256
"""Width of the block, the head and the baseline."""

STRIDES = (4, 8, 16, 32)
"""Of the image encoder's four stages."""

PLAIN = "plain torch"
FOLDED = "ours, batch norms folded"

WIDE = replace(PAPER, channels=CHANNELS)
"""The model that the block and the head are parts of: 1723 vertices, 256 channels."""

MOBILE = replace(
    PAPER,
    backbone="mobilenet_v2",
    image_size=128,
    num_vertices=431,
    channels=128,
    num_blocks=3,
    hidden=512,
)
"""A model for a CPU that is built as the paper's."""

MOBILE_V3 = replace(MOBILE, backbone="mobilenet_v3_small")
"""The same over the encoder that trains fastest."""

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Peer:
    """Another way to do a subject's work, or another head for the same image.

    Attributes:
        module: The module that it is.
        run: The work, from the subject's inputs to outputs.
        vertices: Number of mesh vertices inside it.
        parameters: What a training step updates; if empty, it is timed in inference only.
    """

    module: nn.Module
    run: Callable[..., Tensors]
    vertices: int
    parameters: list[nn.Parameter]


@dataclass(frozen=True)
class Subject:
    """Something to time.

    Attributes:
        op: Its name.
        vertices: Number of mesh vertices.
        channels: Width of its blocks.
        module: The module that it is, or is a part of.
        run: The work, from inputs to outputs.
        inputs: From a batch size to random inputs.
        parameters: What a training step updates.
        peers: Others that take the same inputs, by name.
        same: Those of them whose outputs are the subject's own.
    """

    op: str
    vertices: int
    channels: int
    module: nn.Module
    run: Callable[..., Tensors]
    inputs: Callable[[int], Tensors]
    parameters: list[nn.Parameter]
    peers: dict[str, Peer] = field(default_factory=dict)
    same: tuple[str, ...] = ()


def build(config: ModelConfig, device: torch.device, body: BodyModel | None) -> BilayerHMR:
    """Return a model of the built-in body, or of another body at that body's own size."""
    if body is None:
        return assemble_model(config, BodyModel.load()).to(device)
    return assemble_model(replace(config, num_vertices=len(body.v_template)), body).to(device)


def block(device: torch.device, body: BodyModel | None = None) -> Subject:
    """Return one Bilayer-Graph block."""
    model = build(WIDE, device, body)
    layer = model.blocks[0]
    sizes = model.skeleton().shape[0], model.mesh().shape[0]

    def run(joints: Tensor, vertices: Tensor) -> Tensors:
        return tuple(layer((joints, vertices), (model.skeleton(), model.mesh())))

    def inputs(batch: int) -> Tensors:
        return tuple(torch.randn(batch, size, CHANNELS, device=device) for size in sizes)

    def run_plain(joints: Tensor, vertices: Tensor) -> Tensors:
        return tuple(plain((joints, vertices), (model.skeleton(), model.mesh())))

    plain = in_plain_torch(layer)
    return Subject(
        op="block",
        vertices=sizes[1],
        channels=CHANNELS,
        module=layer,
        run=run,
        inputs=inputs,
        parameters=list(layer.parameters()),
        peers={PLAIN: Peer(plain, run_plain, sizes[1], list(plain.parameters()))},
        same=(PLAIN,),
    )


def head(device: torch.device, body: BodyModel | None = None) -> Subject:
    """Return the model without its image encoder and its SMPL regressor, and others' heads."""
    model = build(WIDE, device, body)
    readout = model.readout
    assert isinstance(readout, FreeReadout)
    others = {*encoder_of(model).parameters(), *readout.regressor.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter not in others]

    def inputs(batch: int) -> Tensors:
        sides = [model.image_size // stride for stride in STRIDES]
        maps = [
            # In the layout that the encoder gives them.
            torch.randn(batch, channels, side, side, device=device).contiguous(
                memory_format=torch.channels_last
            )
            for channels, side in zip(encoder_of(model).channels, sides, strict=True)
        ]
        return keypoints(model, batch), maps[-1].mean(dim=(2, 3)), *maps

    return Subject(
        op="head",
        vertices=model.mesh().shape[0],
        channels=CHANNELS,
        module=model,
        run=run_head(model),
        inputs=inputs,
        parameters=trained,
        peers=peers_of_head(model, trained),
        same=(PLAIN,),
    )


def run_head(model: BilayerHMR) -> Callable[..., Tensors]:
    """Return the work of a model's head."""
    readout = model.readout
    assert isinstance(readout, FreeReadout)

    def run(keypoints: Tensor, pooled: Tensor, *maps: Tensor) -> Tensors:
        return readout.points(model.forward_graphs(list(maps), pooled, keypoints))

    return run


def peers_of_head(model: BilayerHMR, trained: list[nn.Parameter]) -> dict[str, Peer]:
    """Return our head in plain torch, over the same parameters, and two others."""
    plain = in_plain_torch(model)
    assert isinstance(plain, BilayerHMR)
    vertices, device = model.mesh_features.vertices, model.vertex_index.device
    image_channels = encoder_of(model).channels[-1]
    # What autograd can derive: torch's products with CSR have no gradient for a batch of items.
    adjacency = model.mesh().to_dense().to_sparse_coo()
    graphcmr = GraphCMRHead(image_channels, CHANNELS, vertices, adjacency).to(device)
    fastmetro = FastMetroHead(image_channels).to(device)

    def run_graphcmr(_: Tensor, pooled: Tensor, *maps: Tensor) -> Tensors:
        return graphcmr(pooled)  # type: ignore[no-any-return]

    def run_fastmetro(*given: Tensor) -> Tensors:
        return fastmetro(given[-1])  # type: ignore[no-any-return]

    return {
        PLAIN: Peer(plain, run_head(plain), len(vertices), trained),
        "graphcmr": Peer(graphcmr, run_graphcmr, len(vertices), list(graphcmr.parameters())),
        "fastmetro-s": Peer(
            fastmetro, run_fastmetro, fastmetro.vertices, list(fastmetro.parameters())
        ),
    }


def encoder_of(model: BilayerHMR) -> ImageEncoder:
    """Return the image encoder of a model that has one."""
    assert isinstance(model.encoder, ImageEncoder)
    return model.encoder


def whole(
    op: str,
    config: ModelConfig,
    device: torch.device,
    body: BodyModel | None = None,
    frozen: bool = False,
) -> Subject:
    """Return a whole model, from pictures and keypoints to pose and shape."""
    model = build(config, device, body)
    if frozen:
        encoder_of(model).requires_grad_(False)

    def run_of(model: BilayerHMR) -> Callable[..., Tensors]:
        def run(*given: Tensor) -> Tensors:
            image, points = given if model.encoder is not None else (None, *given)
            out = model(image, points)
            mesh = out.joints, out.vertices, out.mesh_joints
            return *mesh, out.camera, out.global_orient, out.body_pose, out.betas

        return run

    def inputs(batch: int) -> Tensors:
        if model.encoder is None:
            return (keypoints(model, batch),)
        image = torch.rand(batch, 3, model.image_size, model.image_size, device=device)
        return image, keypoints(model, batch)

    vertices = model.mesh().shape[0]
    peers = {}
    if isinstance(model.encoder, ImageEncoder):
        folded = fold_batch_norms(model)
        peers = {FOLDED: Peer(folded, run_of(folded), vertices, [])}
    return Subject(
        op=op,
        vertices=vertices,
        channels=model.config.channels,
        module=model,
        run=run_of(model),
        inputs=inputs,
        parameters=[p for p in model.parameters() if p.requires_grad],
        peers=peers,
        same=tuple(peers),
    )


def keypoints(model: BilayerHMR, batch: int) -> Tensor:
    """Draw points around the middle of the picture, with some confidence: ``[B, K, 3]``."""
    number, device = model.joint_features.num_keypoints, model.vertex_index.device
    normal = torch.randn(batch, number, 3, device=device)
    return torch.cat([0.5 * normal[..., :2], normal[..., 2:].sigmoid()], dim=2)


SUBJECTS: dict[str, Callable[..., Subject]] = {
    "block": block,
    "head": head,
    "small": partial(whole, "small model", VARIANTS["small"]),
    "mobilenet": partial(whole, "mobilenet model", MOBILE),
    "mobilenet-frozen": partial(whole, "mobilenet model, encoder frozen", MOBILE, frozen=True),
    "mobilenet-v3": partial(whole, "mobilenet-v3 model", MOBILE_V3),
    "mobilenet-v3-frozen": partial(
        whole, "mobilenet-v3 model, encoder frozen", MOBILE_V3, frozen=True
    ),
    "paper": partial(whole, "paper model", VARIANTS["paper"]),
}
"""From a device and, if it is not the built-in one, a body."""
