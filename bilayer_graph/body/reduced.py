"""A body at few vertices: its joints stay exact without skinning the others."""

from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.body.body_model import BodyModel
from bilayer_graph.nn import WideBuffers


class PlacedBones(NamedTuple):
    """Where the bones of B bodies are; a rest-pose point p moves to ``turn p + shift``.

    Attributes:
        turn: Rotations from rest to posed axes, ``[B, K, 3, 3]``.
        shift: ``[B, K, 3]``, metres, the root joint at the origin.
        joints: The skinning joints, ``[B, K, 3]``, metres.
        coefficients: What the rest pose is shaped by, ``[B, S + P]``: shape, then pose terms.
    """

    turn: Tensor
    shift: Tensor
    joints: Tensor
    coefficients: Tensor

    def turned(self, rotation: Tensor) -> "PlacedBones":
        """Return the same bones in other axes, given ``[B, 3, 3]``."""
        with torch.autocast(rotation.device.type, enabled=False):
            return PlacedBones(
                rotation.unsqueeze(1) @ self.turn,
                self.shift @ rotation.mT,
                self.joints @ rotation.mT,
                self.coefficients,
            )


class ReducedBody(WideBuffers):
    r"""Linear blend skinning of some vertices, and of exact joints, differentiable in the pose.

    A regressed joint is linear in the bones' transforms :math:`(G_k, t_k)`:

    .. math::
        \sum_v r_v \sum_k w_{vk} (G_k x_v + t_k)
        = \sum_k G_k \Big(\sum_v r_v w_{vk} x_v\Big) + \Big(\sum_v r_v w_{vk}\Big) t_k

    so that K points and K weights a joint take the place of all vertices. Computed in float32 at
    least, under autocast and in a model of half precision too.

    Args:
        body: The whole body.
        index: The vertices to keep, ``[N]``.

    Shapes:
        - rotations of the bones in the axes of the posed body (not relative to the parents):
          ``[B, K, 3, 3]``
        - betas: ``[B, S]``
        - vertices, joints and keypoints: metres, the root joint at the origin
    """

    index: Tensor
    parent_rows: Tensor
    rest_joints: Tensor
    ancestry: Tensor
    template: Tensor
    directions: Tensor
    weights: Tensor
    joint_points: Tensor
    joint_weights: Tensor
    keypoint_points: Tensor
    keypoint_weights: Tensor

    def __init__(self, body: BodyModel, index: Tensor) -> None:
        super().__init__()
        self.parents = body.parents
        self.num_betas = body.shapedirs.size(-1)
        wide = {name: buffer.cpu().double() for name, buffer in body.named_buffers()}
        directions = wide["shapedirs"]
        if body.posedirs is not None:
            directions = torch.cat([directions, wide["posedirs"]], dim=-1)
        shape_only = directions[..., : self.num_betas]
        joints = wide["J_regressor"]
        rest = torch.cat([wide["v_template"].unsqueeze(-1), shape_only], dim=-1)
        fixed = {
            "rest_joints": torch.einsum("kv,vcs->kcs", joints, rest),
            "template": wide["v_template"][index.cpu()],
            "directions": directions[index.cpu()],
            "weights": wide["weights"][index.cpu()],
        }
        template = torch.cat([wide["v_template"].unsqueeze(-1), directions], dim=-1)
        for name in ("joint", "keypoint"):
            regressor = wide[f"{name}_regressor"]
            points = torch.einsum("jv,vk,vcs->jkcs", regressor, wide["weights"], template)
            fixed |= {f"{name}_points": points, f"{name}_weights": regressor @ wide["weights"]}
        for name, tensor in fixed.items():
            self.register_buffer(name, tensor.float(), persistent=False)
        self.register_buffer("ancestry", _ancestry(body.parents), persistent=False)
        self.register_buffer("index", index.cpu(), persistent=False)
        # Its own for the root, which has no parent.
        rows = torch.tensor(body.parents).clamp_min(0)
        self.register_buffer("parent_rows", rows, persistent=False)

    def place(self, rotations: Tensor, betas: Tensor) -> PlacedBones:
        """Return where the bones are, given their rotations in the axes of the posed body."""
        with torch.autocast(rotations.device.type, enabled=False):
            rest = self.rest_joints[..., 0] + _combine(self.rest_joints[..., 1:], betas)
            # The root's own step is zero, so the sums over the ancestors start at the origin.
            step = (rest - rest.index_select(1, self.parent_rows)).unsqueeze(-1)
            steps = rotations.index_select(1, self.parent_rows) @ step
            joints = self.ancestry @ steps.squeeze(-1)
            shift = joints - (rotations @ rest.unsqueeze(-1)).squeeze(-1)
            pose = betas[:, :0]
            if self.directions.size(-1) > self.num_betas:
                eye = torch.eye(3, dtype=betas.dtype, device=betas.device)
                pose = (self.relative(rotations)[:, 1:] - eye).flatten(1)
            return PlacedBones(rotations, shift, joints, torch.cat([betas, pose], dim=1))

    def vertices(self, bones: PlacedBones) -> Tensor:
        """Return the kept vertices, ``[B, N, 3]``, metres, the root joint at the origin."""
        with torch.autocast(bones.turn.device.type, enabled=False):
            # Coordinates before vertices, so that sums run over whole rows.
            shaped = self.template.t() + _combine(self.directions, bones.coefficients).mT
            moves = torch.cat([bones.turn, bones.shift.unsqueeze(-1)], dim=-1)
            rows = moves.permute(0, 2, 3, 1).flatten(0, 2)
            blended = (rows @ self.weights.t()).view(-1, 3, 4, self.weights.size(0))
            moved = (blended[:, :, :3] * shaped.unsqueeze(1)).sum(2) + blended[:, :, 3]
            return moved.mT

    def joints(self, bones: PlacedBones) -> Tensor:
        """Return the skeleton's joints of the whole body, ``[B, J, 3]``; a human has 12."""
        return _regress(bones, self.joint_points, self.joint_weights)

    def keypoints(self, bones: PlacedBones) -> Tensor:
        """Return the keypoints of the whole body; a human has COCO's 17, ``[B, 17, 3]``."""
        return _regress(bones, self.keypoint_points, self.keypoint_weights)

    def relative(self, rotations: Tensor) -> Tensor:
        """Return rotations relative to the parents; the root's stays as it is."""
        parents = rotations.index_select(1, self.parent_rows[1:])
        with torch.autocast(rotations.device.type, enabled=False):
            return torch.cat([rotations[:, :1], parents.mT @ rotations[:, 1:]], dim=1)

    def absolute(self, rotations: Tensor) -> Tensor:
        """Return rotations in the axes of the posed body, the inverse of :meth:`relative`."""
        out = [rotations[:, 0]]
        with torch.autocast(rotations.device.type, enabled=False):
            for joint, parent in enumerate(self.parents[1:], start=1):
                out.append(out[parent] @ rotations[:, joint])
            return torch.stack(out, dim=1)


def _ancestry(parents: tuple[int, ...]) -> Tensor:
    """Return 1 at (joint, ancestor), each joint its own ancestor too, shape ``[K, K]``."""
    rows = torch.eye(len(parents), dtype=torch.float32)
    for joint, parent in enumerate(parents[1:], start=1):
        rows[joint] += rows[parent]
    return rows


def _combine(directions: Tensor, coefficients: Tensor) -> Tensor:
    """Return ``[B, ..]`` sums of directions ``[.., S]`` by one product."""
    flat = coefficients @ directions.flatten(0, -2).t()
    return flat.view(flat.size(0), *directions.shape[:-1])


def _regress(bones: PlacedBones, points: Tensor, weights: Tensor) -> Tensor:
    with torch.autocast(bones.turn.device.type, enabled=False):
        rest = points[..., 0] + _combine(points[..., 1:], bones.coefficients)
        turned = torch.einsum("bkac,bjkc->bja", bones.turn, rest)
        return turned + weights @ bones.shift
