"""A body moved to where a skeleton and a picture say its joints are, by Gauss-Newton steps."""

from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.body.reduced import PlacedBones, ReducedBody
from bilayer_graph.body.rotations import axis_angle_to_matrix

STEPS = 3
# Standard deviations: of a turn from the start in radians, of a shape coefficient, of a 3D joint
# and of a 2D keypoint in metres at the person's distance.
_TURN, _SHAPE, _JOINT, _KEYPOINT = 0.2, 1.0, 0.12, 0.03
# Keypoints farther off than some of this, in metres, are taken for errors of the detector.
_OUTLIER = 0.07
_LARGEST_TURN = 0.5
_SHAPE_LIMIT = 3.0


class Sight(NamedTuple):
    """2D keypoints of B people as a perspective camera sees them.

    Attributes:
        tangents: ``x / z`` and ``y / z`` of each keypoint, ``[B, 17, 2]``.
        weight: Trust in each, in [0, 1], ``[B, 17]``; 0 for a missing one.
    """

    tangents: Tensor
    weight: Tensor


class RefinedBody(NamedTuple):
    """Refined bodies.

    Attributes:
        bones: Where their bones are, the root joint at the origin.
        betas: Shape coefficients, ``[B, S]``.
        place: Where the root joint is, metres in camera axes, ``[B, 3]``.
    """

    bones: PlacedBones
    betas: Tensor
    place: Tensor


def refine_body(
    body: ReducedBody, rotations: Tensor, betas: Tensor, joints: Tensor, sight: Sight
) -> RefinedBody:
    r"""Move bodies so that their joints meet a 3D skeleton and their keypoints a picture.

    .. math::
        \min_{\omega, \beta, T} \; \sum_j \frac{|J_j - \hat J_j|^2}{\sigma_J^2}
        + \sum_i \rho\Big(\frac{Z_i}{\sigma_u} \big|\pi(K_i + T) - u_i\big|\Big)
        + \frac{|\omega|^2}{\sigma_\omega^2} + \frac{|\beta - \beta_0|^2}{\sigma_\beta^2}

    over turns :math:`\omega` of the bones, the shape and the place :math:`T` of the person, with
    :math:`\rho` of Geman and McClure. Three Gauss-Newton steps, all bodies at once, no gradient.

    Args:
        body: The body.
        rotations: Of the bones in camera axes, to start from, ``[B, K, 3, 3]``.
        betas: Shape coefficients to start from, ``[B, S]``.
        joints: The skeleton, pelvis at the origin, ``[B, J, 3]``, metres.
        sight: What the camera sees.

    Returns:
        The bodies, without a gradient; NaN for one whose numbers are not finite.
    """
    with torch.no_grad(), torch.autocast(joints.device.type, enabled=False):
        first_shape = betas
        moved = betas.new_zeros(len(betas), 3 * rotations.size(1))
        bones = body.place(rotations, betas)
        place = find_place(body.keypoints(bones), sight)
        for _ in range(STEPS):
            system = _normal_equations(body, bones, betas, place, joints, sight)
            system.add_prior(moved, betas - first_shape)
            step = system.solve()
            turn, shape, shift = step.split([moved.size(1), betas.size(1), 3], dim=1)
            turn = _limit(turn.unflatten(1, (-1, 3)))
            moved = moved + turn.flatten(1)
            betas = (betas + shape).clamp(-_SHAPE_LIMIT, _SHAPE_LIMIT)
            bones = body.place(_turn_subtrees(body, bones.turn, turn), betas)
            place = place + shift
        return RefinedBody(bones, betas, place)


def find_place(points: Tensor, sight: Sight) -> Tensor:
    """Return where people are, so that their keypoints project nearest to what is seen.

    Linear least squares on ``x + tx - u (z + tz) = 0``, with a weak pull to a size that fills the
    picture where too few keypoints are seen.

    Args:
        points: Keypoints around the root joint, ``[B, 17, 3]``, metres.
        sight: What the camera sees.

    Returns:
        ``[B, 3]``, metres in camera axes, in front of the camera.
    """
    u, weight = sight.tangents, sight.weight.unsqueeze(-1)
    zero, one = torch.zeros_like(u[..., 0]), torch.ones_like(u[..., 0])
    rows = torch.stack(
        [torch.stack([one, zero, -u[..., 0]], -1), torch.stack([zero, one, -u[..., 1]], -1)], -2
    )
    target = u * points[..., 2:] - points[..., :2]
    weighted = (rows * weight.unsqueeze(-1)).flatten(1, 2)
    normal = weighted.mT @ rows.flatten(1, 2) + 1e-6 * torch.eye(3, dtype=u.dtype, device=u.device)
    place = torch.linalg.solve(normal, weighted.mT @ target.flatten(1).unsqueeze(-1)).squeeze(-1)
    nearest = 0.3 - points[..., 2].amin(1)
    return torch.cat([place[:, :2], torch.maximum(place[:, 2], nearest).unsqueeze(1)], dim=1)


class _NormalEquations(NamedTuple):
    matrix: Tensor
    right: Tensor
    turns: int
    shapes: int

    def add_prior(self, moved: Tensor, shape: Tensor) -> None:
        """Pull turns and shape back to their start."""
        diagonal = self.matrix.diagonal(dim1=1, dim2=2)
        ends = self.turns, self.turns + self.shapes
        diagonal[:, : ends[0]] += _TURN**-2
        diagonal[:, ends[0] : ends[1]] += _SHAPE**-2
        diagonal[:, ends[1] :] += 1e-6
        self.right[:, : ends[0]] -= moved * _TURN**-2
        self.right[:, ends[0] : ends[1]] -= shape * _SHAPE**-2

    def solve(self) -> Tensor:
        # Without a check: a person whose numbers are not finite must not stop the others.
        factor, _ = torch.linalg.cholesky_ex(self.matrix)
        return torch.cholesky_solve(self.right.unsqueeze(-1), factor).squeeze(-1)


def _normal_equations(
    body: ReducedBody,
    bones: PlacedBones,
    betas: Tensor,
    place: Tensor,
    joints: Tensor,
    sight: Sight,
) -> _NormalEquations:
    now, slope = _points_and_slopes(body, bones, betas, "joint")
    # The place moves no joint relative to the root.
    slope = torch.nn.functional.pad(slope, (0, 3)) / _JOINT
    residual = (joints - now) / _JOINT
    matrix, right = _add_rows(slope.flatten(1, 2), residual.flatten(1))
    now, slope = _points_and_slopes(body, bones, betas, "keypoint")
    eye = torch.eye(3, dtype=now.dtype, device=now.device).expand(*now.shape[:2], 3, 3)
    slope, residual = _project(now + place.unsqueeze(1), torch.cat([slope, eye], -1), sight)
    more = _add_rows(slope.flatten(1, 2), residual.flatten(1))
    return _NormalEquations(
        matrix + more[0], right + more[1], 3 * bones.turn.size(1), betas.size(1)
    )


def _add_rows(slope: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    return slope.mT @ slope, (slope.mT @ residual.unsqueeze(-1)).squeeze(-1)


def _points_and_slopes(
    body: ReducedBody, bones: PlacedBones, betas: Tensor, kind: str
) -> tuple[Tensor, Tensor]:
    """Return points ``[B, P, 3]``, and by how much turns and shape move them, ``[B, P, 3, D]``."""
    points, weights = getattr(body, f"{kind}_points"), getattr(body, f"{kind}_weights")
    rest = points[..., 0] + (points[..., 1:] @ bones.coefficients.t()).permute(3, 0, 1, 2)
    # What each bone carries of each point, [B, P, K, 3].
    carried = torch.einsum("bkac,bpkc->bpka", bones.turn, rest)
    carried = carried + weights.unsqueeze(-1) * bones.shift.unsqueeze(1)
    below = body.ancestry.t()
    arm = torch.einsum("ik,bpka->bpia", below, carried)
    arm = arm - (weights @ body.ancestry).unsqueeze(-1) * bones.joints.unsqueeze(1)
    x, y, z = arm.unbind(-1)
    zero = torch.zeros_like(x)
    # A small turn w moves the point by w x arm.
    turn = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).unflatten(-1, (3, 3))
    turn = turn.permute(0, 1, 3, 2, 4).flatten(3)
    return carried.sum(2), torch.cat([turn, _shape_slopes(body, bones, betas, kind)], -1)


def _shape_slopes(body: ReducedBody, bones: PlacedBones, betas: Tensor, kind: str) -> Tensor:
    """Return by how much each shape coefficient moves points, ``[B, P, 3, S]``.

    Exact, from differences: points are linear in the shape while the bones keep their rotations.
    """
    batch, count = betas.shape
    regress = body.joints if kind == "joint" else body.keypoints
    units = torch.eye(count, dtype=betas.dtype, device=betas.device)
    units = torch.cat([torch.zeros_like(units[:1]), units]).repeat(batch, 1)
    moved = regress(body.place(bones.turn.repeat_interleave(count + 1, 0), units))
    moved = moved.view(batch, count + 1, *moved.shape[1:])
    return (moved[:, 1:] - moved[:, :1]).permute(0, 2, 3, 1)


def _project(points: Tensor, slope: Tensor, sight: Sight) -> tuple[Tensor, Tensor]:
    """Return slopes ``[B, 17, 2, D]`` and residuals ``[B, 17, 2]`` of projections, weighted."""
    depth = points[..., 2:].clamp_min(0.1)
    off = sight.tangents - points[..., :2] / depth
    metres = off.norm(dim=-1, keepdim=True) * depth
    robust = 1 / (1 + (metres / _OUTLIER) ** 2)
    trust = sight.weight.unsqueeze(-1).sqrt() * robust * depth / _KEYPOINT
    along = slope[..., :2, :] - (points[..., :2] / depth).unsqueeze(-1) * slope[..., 2:, :]
    return along / depth.unsqueeze(-1) * trust.unsqueeze(-1), off * trust


def _turn_subtrees(body: ReducedBody, rotations: Tensor, turns: Tensor) -> Tensor:
    """Turn each bone, and with it all that hangs on it, by ``turns`` ``[B, K, 3]``."""
    return body.absolute(axis_angle_to_matrix(turns)) @ rotations


def _limit(turns: Tensor) -> Tensor:
    length: Tensor = turns.norm(dim=-1, keepdim=True)
    return turns * (_LARGEST_TURN / length.clamp_min(_LARGEST_TURN))
