"""Bodies that other programs can pose: rest pose, skeleton and skinning weights of people."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bilayer_graph.body.body_model import BodyModel


@dataclass(frozen=True, eq=False, repr=False)
class Rig:
    """A person in rest pose with a skeleton, on the CPU.

    Metres in the body's axes (x left, y up, z front), the pelvis joint at the origin.

    Attributes:
        vertices: ``[V, 3]``.
        faces: ``[F, 3]``.
        joints: ``[K, 3]``.
        weights: How much each joint moves each vertex, ``[V, K]``; rows sum to 1.
        parents: The joint that each hangs on, before it in the order; -1 for the first.
        root: The pelvis in the axes of the body model, ``[3]``.
        betas: Shape coefficients, ``[S]``.
    """

    vertices: Tensor
    faces: Tensor
    joints: Tensor
    weights: Tensor
    parents: tuple[int, ...]
    root: Tensor
    betas: Tensor

    @property
    def offsets(self) -> Tensor:
        """Where the joints are from their parents, ``[K, 3]``; zero for the first."""
        return self.joints - self.joints[[max(parent, 0) for parent in self.parents]]

    @property
    def height(self) -> float:
        """From the soles to the top of the head, metres."""
        up = self.vertices[:, 1]
        return float(up.max() - up.min())


@torch.no_grad()
def make_rigs(body: BodyModel, betas: Tensor, body_pose: Tensor | None = None) -> list[Rig]:
    """Return the rigs of people.

    Args:
        body: The body model.
        betas: ``[P, S]``.
        body_pose: Poses, ``[P, K - 1, 3, 3]``. What a pose adds to the mesh before skinning
            (``posedirs``) is built into the rig, which is exact in that pose only; nothing is added
            if ``None``. The built-in body has no such term.
    """
    betas = betas.to(body.v_template)
    if body_pose is None:
        body_pose = torch.eye(3).to(betas).expand(len(betas), len(body.parents) - 1, 3, 3)
    vertices, joints = (tensor.cpu() for tensor in body.rest(betas, body_pose.to(betas)))
    faces, weights, shapes = body.faces.cpu(), body.weights.cpu(), betas.cpu()
    return [
        Rig(
            vertices=vertices[row] - joints[row, 0],
            faces=faces,
            joints=joints[row] - joints[row, 0],
            weights=weights,
            parents=body.parents,
            root=joints[row, 0].clone(),
            betas=shapes[row].clone(),
        )
        for row in range(len(betas))
    ]
