"""The loss of the posed model: joints, a body and a mesh from 2D keypoints."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from bilayer_graph.models import SkeletonOutput
from bilayer_graph.training import losses

Batch = dict[str, Tensor]

_BODY_JOINTS, _ROTATIONS, _SHAPE = 0.5, 0.2, 0.005
_MESH_JOINTS, _EDGES = 0.5, 2.0


def skeleton_terms(out: SkeletonOutput, batch: Batch) -> dict[str, Tensor]:
    r"""Return the loss terms of the skeleton and of the posed body.

    .. math:: L_1(J) + L_1(V_b) + 0.5 \, L_1(J_b) + 0.2 \, L_1(R) + 0.005 \, L_2(\beta)

    Args:
        out: What the skeleton graph says.
        batch: Samples as :class:`~bilayer_graph.synthetic.GeometrySamples` gives them.
    """
    return {
        "skeleton": losses.joint_loss(out.joints, batch["joints"]),
        "body": losses.vertex_loss(out.body_vertices, batch["vertices"]),
        "body_joints": _BODY_JOINTS * losses.joint_loss(out.body_joints, batch["joints"]),
        "rotations": _ROTATIONS * (out.rotations - batch["rotations"]).abs().mean(),
        "shape": _SHAPE * losses.shape_loss(out.betas, batch["betas"]),
    }


def mesh_terms(
    vertices: Tensor, mesh_joints: Tensor, batch: Batch, edges: Tensor
) -> dict[str, Tensor]:
    r"""Return the loss terms of the mesh branch.

    .. math:: L_1(V) + 0.5 \, L_1(J_m) + 2 \, L_1(\{v_i - v_j\}_{ij})

    The last term keeps neighbours together: positions alone leave a crumpled surface.

    Args:
        vertices: ``[B, N, 3]``.
        mesh_joints: Joints regressed from them, ``[B, J, 3]``.
        batch: Samples as :class:`~bilayer_graph.synthetic.GeometrySamples` gives them.
        edges: The pairs :math:`ij` of the mesh, ``[2, E]``.
    """
    first, second = edges
    true = batch["vertices"]
    along = vertices[:, first] - vertices[:, second]
    true_along = true[:, first] - true[:, second]
    return {
        "mesh": losses.vertex_loss(vertices, true),
        "mesh_joints": _MESH_JOINTS * losses.joint_loss(mesh_joints, batch["joints"]),
        "edges": _EDGES * losses.vertex_loss(along, true_along),
    }


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameters for an optimiser: weight decay on the linear layers' weights only."""
    # Of a frozen encoder there is nothing to optimise.
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decayed = {name for name, p in parameters if p.dim() > 1 and "conv.edge_weight" not in name}
    return [
        {
            "params": [p for name, p in parameters if name in decayed],
            "weight_decay": weight_decay,
        },
        {"params": [p for name, p in parameters if name not in decayed], "weight_decay": 0.0},
    ]


def warm_up_hold_decay(step: int, total_steps: int) -> float:
    r"""Return the share of the highest learning rate: a rise, a plateau, a fall to 0.

    The rise takes 200 steps, the fall the last 30 % of all, as :math:`1 - \sqrt{p}`. A plateau can
    be made longer afterwards: a training goes on from there with more steps.
    """
    rise = min(1.0, (step + 1) / WARM_UP)
    fall = max(0.0, min(1.0, (step / total_steps - 1 + DECAY) / DECAY))
    return rise * (1 - math.sqrt(fall))


WARM_UP = 200
DECAY = 0.3


def mesh_edges(faces: Tensor) -> Tensor:
    """Return each edge of triangles ``[F, 3]`` once, ``[2, E]``."""
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges: Tensor = torch.unique(pairs.sort(dim=1).values, dim=0)
    return edges.t()
