"""What the model benchmark times: a block, the head, a baseline and the whole models."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from mesh_baseline import MeshOnlyHead
from torch import Tensor, nn

from bilayer_graph.body import BodyModel
from bilayer_graph.models import (
    PAPER,
    BilayerHMR,
    FreeReadout,
    ImageEncoder,
    assemble_model,
    build_model,
)

CHANNELS = 256
"""Width of the block, the head and the baseline."""

STRIDES = (4, 8, 16, 32)
"""Of the image encoder's four stages."""

Tensors = tuple[Tensor, ...]


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
    """

    op: str
    vertices: int
    channels: int
    module: nn.Module
    run: Callable[..., Tensors]
    inputs: Callable[[int], Tensors]
    parameters: list[nn.Parameter]


def wide_model(device: torch.device) -> BilayerHMR:
    """Return the model that the block and the head are parts of: 1723 vertices, 256 channels."""
    return assemble_model(replace(PAPER, channels=CHANNELS), BodyModel.load()).to(device)


def block(device: torch.device) -> Subject:
    """Return one Bilayer-Graph block."""
    model = wide_model(device)
    layer = model.blocks[0]
    sizes = model.skeleton().shape[0], model.mesh().shape[0]

    def run(joints: Tensor, vertices: Tensor) -> Tensors:
        return tuple(layer((joints, vertices), (model.skeleton(), model.mesh())))

    def inputs(batch: int) -> Tensors:
        return tuple(torch.randn(batch, size, CHANNELS, device=device) for size in sizes)

    return Subject("block", sizes[1], CHANNELS, layer, run, inputs, list(layer.parameters()))


def head(device: torch.device) -> Subject:
    """Return the model without its image encoder and its SMPL regressor."""
    model = wide_model(device)
    readout = model.readout
    assert isinstance(readout, FreeReadout)
    others = {*encoder_of(model).parameters(), *readout.regressor.parameters()}

    def run(keypoints: Tensor, pooled: Tensor, *maps: Tensor) -> Tensors:
        return readout.points(model.forward_graphs(list(maps), pooled, keypoints))

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
        run=run,
        inputs=inputs,
        parameters=[parameter for parameter in model.parameters() if parameter not in others],
    )


def encoder_of(model: BilayerHMR) -> ImageEncoder:
    """Return the image encoder of a model that has one."""
    assert isinstance(model.encoder, ImageEncoder)
    return model.encoder


def mesh_only_head(device: torch.device) -> Subject:
    """Return the baseline without a skeleton, over the same mesh and the same image feature."""
    model = wide_model(device)
    image_channels = encoder_of(model).channels[-1]
    vertices = model.mesh_features.vertices
    baseline = MeshOnlyHead(image_channels, CHANNELS, vertices, model.mesh).to(device)
    return Subject(
        op="mesh-only head",
        vertices=vertices.size(0),
        channels=CHANNELS,
        module=baseline,
        run=baseline,
        inputs=lambda batch: (torch.randn(batch, image_channels, device=device),),
        parameters=list(baseline.parameters()),
    )


def whole(variant: str, device: torch.device) -> Subject:
    """Return a whole model, from pictures and keypoints to pose and shape."""
    model = build_model(variant, BodyModel.load()).to(device)

    def run(*given: Tensor) -> Tensors:
        image, points = given if model.encoder is not None else (None, *given)
        out = model(image, points)
        mesh = out.joints, out.vertices, out.mesh_joints
        return *mesh, out.camera, out.global_orient, out.body_pose, out.betas

    def inputs(batch: int) -> Tensors:
        if model.encoder is None:
            return (keypoints(model, batch),)
        image = torch.rand(batch, 3, model.image_size, model.image_size, device=device)
        return image, keypoints(model, batch)

    return Subject(
        op=f"{variant} model",
        vertices=model.mesh().shape[0],
        channels=model.config.channels,
        module=model,
        run=run,
        inputs=inputs,
        parameters=[p for p in model.parameters() if p.requires_grad],
    )


def keypoints(model: BilayerHMR, batch: int) -> Tensor:
    """Draw points around the middle of the picture, with some confidence: ``[B, K, 3]``."""
    number, device = model.joint_features.num_keypoints, model.vertex_index.device
    normal = torch.randn(batch, number, 3, device=device)
    return torch.cat([0.5 * normal[..., :2], normal[..., 2:].sigmoid()], dim=2)


SUBJECTS: dict[str, Callable[[torch.device], Subject]] = {
    "block": block,
    "head": head,
    "mesh-only": mesh_only_head,
    "small": lambda device: whole("small", device),
    "paper": lambda device: whole("paper", device),
}
