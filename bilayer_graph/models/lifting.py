"""From the keypoints of people in a picture to their bodies in front of its camera."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bilayer_graph.body import (
    BONES,
    COCO_LEFT_RIGHT,
    COCO_TO_JOINTS,
    BodyModel,
    gram_schmidt,
    look_at,
    mirror_joints,
    mirror_keypoints,
    mirror_rotations,
)
from bilayer_graph.body.refine import Sight, find_place, refine_body
from bilayer_graph.detection.movenet import MoveNet
from bilayer_graph.models.bilayer_hmr import BilayerHMR
from bilayer_graph.models.movenet_encoder import MoveNetEncoder
from bilayer_graph.models.node_features import keypoint_patches
from bilayer_graph.models.readouts import PosedReadout

FIELD_OF_VIEW = 50.0
"""Degrees along the longer side of a picture whose camera nobody knows."""


@dataclass(frozen=True)
class Crops:
    """P people, each a square of a picture.

    Attributes:
        keypoints: COCO's 17 in crop coordinates and confidence, ``[P, 17, 3]``.
        centre: Of the squares, in tangents from the optical axis of their picture, ``[P, 2]``.
        half: Half the side of the squares in tangents, ``[P]``.
        image: The squares themselves, ``[P, 3, S, S]``; ``None`` for a model without an encoder.
        patches: What a frozen encoder shows at the keypoints, ``[P, 17, C]``, instead of them.
    """

    keypoints: Tensor
    centre: Tensor
    half: Tensor
    image: Tensor | None = None
    patches: Tensor | None = None


@dataclass(frozen=True)
class LiftedBodies:
    """P bodies in the axes of their picture's camera; metres, pelvis at the origin.

    Attributes:
        joints: The skeleton: the body's joints, or the skeleton branch's of a model that has no
            better, ``[P, J, 3]``.
        vertices: The body model so posed, or the free mesh of a model that has no better,
            ``[P, V, 3]``.
        free_vertices: The mesh of the mesh branch, ``[P, V, 3]``.
        rotations: Of the bones relative to their parents, the first in camera axes,
            ``[P, K, 3, 3]``.
        betas: Shape coefficients, ``[P, S]``.
        place: Where the pelvis is before the camera, ``[P, 3]``.
    """

    joints: Tensor
    vertices: Tensor
    free_vertices: Tensor
    rotations: Tensor
    betas: Tensor
    place: Tensor


@torch.no_grad()
def lift(
    model: BilayerHMR, body: BodyModel, crops: Crops, flip: bool = True, refine: bool = True
) -> LiftedBodies:
    """Recover the bodies of people, as well as the model can.

    A model whose body comes from the skeleton answers twice: for the person and, mirrored back, for
    the mirrored person (``flip``). The mean is moved to where skeleton and keypoints say its joints
    are (``refine``). Models answer in the axes of a camera that looks at the centre of the crop;
    they are turned back by the ray there. All but the model itself is computed in float32 at least.

    Args:
        model: The model.
        body: The body that it was trained on.
        crops: The people.
        flip: Whether to average with the mirrored person.
        refine: Whether to refine the body.

    Returns:
        The bodies in the axes of their picture's camera, without a gradient.
    """
    crops = _in_dtype(crops, torch.promote_types(next(model.parameters()).dtype, torch.float32))
    turn = look_at(crops.centre)
    way = _lift_posed if isinstance(model.readout, PosedReadout) else _lift_free
    lifted = way(model, body, crops, turn, flip, refine)
    # From the axes of the crop's ray back to those of the picture's camera.
    with torch.autocast(turn.device.type, enabled=False):
        root = turn.mT.unsqueeze(1) @ lifted.rotations[:, :1]
        return LiftedBodies(
            joints=lifted.joints @ turn,
            vertices=lifted.vertices.to(turn.dtype) @ turn,
            free_vertices=lifted.free_vertices @ turn,
            rotations=torch.cat([root, lifted.rotations[:, 1:]], dim=1),
            betas=lifted.betas,
            place=(turn.mT @ lifted.place.unsqueeze(-1)).squeeze(-1),
        )


def _in_dtype(crops: Crops, dtype: torch.dtype) -> Crops:
    cast = {name: x.to(dtype) for name, x in vars(crops).items() if x is not None}
    return replace(crops, **cast)


def _lift_posed(
    model: BilayerHMR, body: BodyModel, crops: Crops, turn: Tensor, flip: bool, refine: bool
) -> LiftedBodies:
    assert isinstance(model.readout, PosedReadout)
    reduced, keypoints = model.readout.body, crops.keypoints
    image, patches = crops.image, _patches(model, crops)
    if flip:
        # One pass for both: for few people, the number of calls is what costs.
        keypoints = torch.cat([keypoints, mirror_keypoints(keypoints)])
        image = None if image is None else torch.cat([image, image.flip(-1)])
        if patches is not None:
            # In training too, a mirrored person has the patches of the other side.
            patches = torch.cat([patches, patches[:, list(COCO_LEFT_RIGHT)]])
    x = _features(model, image, keypoints, patches)
    out = model.readout.skeleton(x[0])
    offsets = model.readout.mesh_head(x[1][: len(turn)])
    joints, rotations, betas = out.joints, out.rotations, out.betas
    if flip:
        joints, twins = joints.chunk(2)
        joints = (joints + mirror_joints(twins)) / 2
        rotations, turned = rotations.chunk(2)
        mean = (rotations + mirror_rotations(turned)) / 2
        rotations = gram_schmidt(mean[..., :2].mT)
        betas = betas.unflatten(0, (2, -1)).mean(0)
    sight = _sight(crops, turn)
    bones = reduced.place(rotations, betas)
    if refine:
        bones, betas, place = refine_body(reduced, rotations, betas, joints, sight)
        joints = reduced.joints(bones)
    else:
        place = find_place(reduced.keypoints(bones), sight)
    relative = reduced.relative(bones.turn)
    vertices = body(betas, relative[:, 1:], relative[:, 0]).vertices
    free = vertices + model.upsample(offsets)[-1]
    return LiftedBodies(joints, vertices, free, relative, betas, place)


def _patches(model: BilayerHMR, crops: Crops) -> Tensor | None:
    """Return what a frozen encoder shows at COCO's keypoints, ``[P, 17, C]``: one look for two."""
    if crops.patches is not None:
        return crops.patches
    encoder = _patch_encoder(model)
    if crops.image is None or encoder is None:
        return None
    return coco_patches(encoder(crops.image)[0], crops.keypoints)


def coco_patches(maps: list[Tensor], keypoints: Tensor) -> Tensor:
    """Return what maps of square pictures show at COCO's keypoints ``[P, 17, 3]`` of people."""
    rows, bones = (torch.tensor(each, device=keypoints.device) for each in (COCO_TO_JOINTS, BONES))
    return keypoint_patches(maps, keypoints, rows, bones)


def sees_with(model: BilayerHMR, network: MoveNet) -> bool:
    """Return whether all that a model sees of a picture are patches of a network's maps."""
    encoder = _patch_encoder(model)
    if encoder is None:
        return False
    if encoder.network.stem.weight.device != network.stem.weight.device:
        return False
    ours, theirs = encoder.network.state_dict(), network.state_dict()
    return all(name in theirs and torch.equal(x, theirs[name]) for name, x in ours.items())


def _patch_encoder(model: BilayerHMR) -> MoveNetEncoder | None:
    # Vertices that see the picture themselves need more than patches.
    if model.mesh_features.lin_image is not None or not isinstance(model.encoder, MoveNetEncoder):
        return None
    return model.encoder


def _features(
    model: BilayerHMR, image: Tensor | None, keypoints: Tensor, patches: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the features of both graphs from COCO's keypoints, and patches or else the picture."""
    if patches is None:
        return model.forward_crops(image, model.from_coco(keypoints))
    return model.forward_patches(model.from_coco(patches), model.from_coco(keypoints))


def _lift_free(
    model: BilayerHMR, body: BodyModel, crops: Crops, turn: Tensor, flip: bool, refine: bool
) -> LiftedBodies:
    out = model(crops.image, model.from_coco(crops.keypoints))
    vertices = model.upsample(out.vertices)[-1]
    rotations = torch.cat([out.global_orient.unsqueeze(1), out.body_pose], dim=1)
    # The weak-perspective camera of the crop as a place before its camera.
    depth = 1 / (out.camera[:, :1] * crops.half.unsqueeze(1))
    place = torch.cat([out.camera[:, 1:], depth], dim=1)
    return LiftedBodies(out.joints, vertices, vertices, rotations, out.betas, place)


def _sight(crops: Crops, turn: Tensor) -> Sight:
    """Return what a camera that looks at the centres of the crops sees."""
    # A keypoint is missing where the model takes it for missing.
    seen = (crops.keypoints[..., 2:] > 0) & crops.keypoints.isfinite().all(-1, keepdim=True)
    keypoints = torch.where(seen, crops.keypoints, 0)
    tangents = crops.centre.unsqueeze(1) + keypoints[..., :2] * crops.half.view(-1, 1, 1)
    with torch.autocast(turn.device.type, enabled=False):
        rays = torch.nn.functional.pad(tangents, (0, 1), value=1.0) @ turn.mT
    return Sight(rays[..., :2] / rays[..., 2:].clamp_min(0.1), keypoints[..., 2])
