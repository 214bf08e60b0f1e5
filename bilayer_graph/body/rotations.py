"""Rotations between axis-angle vectors, matrices and unconstrained 3 x 3 outputs."""

import torch
import torch.nn.functional as F
from torch import Tensor

_SQUARINGS = 16


def axis_angle_to_matrix(vector: Tensor) -> Tensor:
    r"""Return the rotation matrices of axis-angle vectors (Rodrigues' formula).

    .. math:: R = I + \frac{\sin\theta}{\theta} K + \frac{1 - \cos\theta}{\theta^2} K^2

    with :math:`\theta = |v|` and :math:`K` the cross-product matrix of :math:`v`. The gradient
    is finite everywhere, also at the zero vector.

    Args:
        vector: ``[..., 3]``, direction = axis, length = angle in radians.

    Returns:
        ``[..., 3, 3]``.
    """
    angle = vector.square().sum(-1).clamp_min(1e-24).sqrt()[..., None, None]
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*vector.shape, 3)
    # K^2 = v v^T - |v|^2 I, written out so that autocast cannot lower it to half precision.
    outer = vector[..., :, None] * vector[..., None, :]
    eye = torch.eye(3, dtype=vector.dtype, device=vector.device)
    square = outer - vector.square().sum(-1)[..., None, None] * eye
    sine = torch.sinc(angle / torch.pi)
    cosine = 0.5 * torch.sinc(angle / (2 * torch.pi)).square()
    return eye + sine * cross + cosine * square


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Return the axis-angle vectors of rotation matrices, of length at most pi.

    Goes through the best conditioned of four quaternion formulas, so it keeps its accuracy near
    the identity and near half turns.

    Args:
        matrix: ``[..., 3, 3]`` rotations.

    Returns:
        ``[..., 3]``, radians.
    """
    # Row k is the quaternion (w, x, y, z) times four times its own k-th component.
    candidates = _davenport(matrix) + torch.eye(4, dtype=matrix.dtype, device=matrix.device)
    best = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    best = best.expand(*best.shape[:-2], 1, 4)
    quaternion = torch.nn.functional.normalize(candidates.gather(-2, best).squeeze(-2), dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    sine = imaginary.square().sum(-1, keepdim=True).clamp_min(1e-24).sqrt()
    return imaginary * (2 * torch.atan2(sine, real) / sine)


def nearest_rotation(matrix: Tensor) -> Tensor:
    r"""Return the rotations nearest to matrices in the Frobenius norm (orthogonal Procrustes).

    .. math:: R = U \, \mathrm{diag}(1, 1, \det(U V^T)) \, V^T, \quad M = U S V^T

    The gradient is that of the projection itself. It divides by *sums* of singular values, where
    autograd through the SVD divides by their differences and gives NaN at every matrix that is
    a rotation already. It is exact to first order (not meant to be differentiated twice); where
    the projection jumps and has no gradient, the sums are held at 1e-4. A matrix that is not finite
    gives NaN and leaves the others alone. ONNX has no SVD: what is exported there is
    :func:`nearest_rotation_by_squaring`.

    Args:
        matrix: ``[..., 3, 3]``. Half precision is computed and returned in float32.

    Returns:
        ``[..., 3, 3]``.
    """
    if matrix.dtype in (torch.float16, torch.bfloat16):
        matrix = matrix.float()
    if torch.onnx.is_in_onnx_export():
        return nearest_rotation_by_squaring(matrix)
    with torch.autocast(matrix.device.type, enabled=False):
        fixed = matrix.detach()
        # A NaN would make the SVD of the whole batch fail; it comes back through the change.
        left, singular, right_t = torch.linalg.svd(_without_broken(fixed))
        sign = torch.linalg.det(left @ right_t).sign()
        flip = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1)
        rotation = (left * flip[..., None, :]) @ right_t
        singular = singular * flip
        sums = (singular[..., :, None] + singular[..., None, :]).clamp_min(1e-4)
        right = right_t.mT
        # R^T dM = W P + dP with W antisymmetric and P symmetric: solve for W in the basis of P.
        change = rotation.mT @ (matrix - fixed)
        turn = (right_t @ (change - change.mT) @ right / sums).triu(1)
        moved: Tensor = rotation + rotation @ right @ (turn - turn.mT) @ right_t
        return moved


def nearest_rotation_by_squaring(matrix: Tensor) -> Tensor:
    r"""Do what :func:`nearest_rotation` does by products of small matrices alone.

    The unit quaternion :math:`q` of the nearest rotation maximises :math:`q^T K q`, with the
    symmetric ``[4, 4]`` matrix :math:`K` of Davenport. The powers of :math:`K`, moved to
    non-negative eigenvalues, tend to :math:`q q^T`; squared 16 times they are there in float32,
    unless the two largest eigenvalues are closer than one in :math:`10^4`, where the projection is
    about to jump. It gives NaN for the zero matrix, to which all rotations are as near.

    Args:
        matrix: ``[..., 3, 3]``.

    Returns:
        ``[..., 3, 3]``.

    Source: Davenport's q-method for Wahba's problem, as in Markley and Mortari, "Quaternion
    attitude estimation using vector observations", 2000.
    """
    power = _davenport(matrix)
    # Its eigenvalues are at most its Frobenius norm away from 0.
    size = power.square().sum((-2, -1), keepdim=True).sqrt()
    power = power + size * torch.eye(4, dtype=matrix.dtype, device=matrix.device)
    for _ in range(_SQUARINGS):
        power = power / power.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        power = power @ power
    w, x, y, z = (power / power.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]).unbind(-2)
    ww, wx, wy, wz = w.unbind(-1)
    _, xx, xy, xz = x.unbind(-1)
    _, _, yy, yz = y.unbind(-1)
    zz = z[..., 3]
    rows = [
        [ww + xx - yy - zz, 2 * (xy - wz), 2 * (xz + wy)],
        [2 * (xy + wz), ww - xx + yy - zz, 2 * (yz - wx)],
        [2 * (xz - wy), 2 * (yz + wx), ww - xx - yy + zz],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _davenport(matrix: Tensor) -> Tensor:
    """Return the symmetric matrices ``[.., 4, 4]`` with ``q^T K q = trace(R(q)^T M)``."""
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    rows = [
        [m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01],
        [m21 - m12, m00 - m11 - m22, m10 + m01, m02 + m20],
        [m02 - m20, m10 + m01, m11 - m00 - m22, m12 + m21],
        [m10 - m01, m02 + m20, m12 + m21, m22 - m00 - m11],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _without_broken(matrix: Tensor) -> Tensor:
    finite = matrix.isfinite().all(dim=-1).all(dim=-1)[..., None, None]
    return torch.where(finite, matrix, torch.eye(3, dtype=matrix.dtype, device=matrix.device))


def gram_schmidt(columns: Tensor) -> Tensor:
    """Return rotations ``[.., 3, 3]`` whose first columns span two vectors, ``[.., 2, 3]``."""
    first, second = columns.unbind(-2)
    first = F.normalize(first, dim=-1)
    along = (first * second).sum(-1, keepdim=True)
    second = F.normalize(second - along * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def look_at(tangents: Tensor) -> Tensor:
    """Return the rotation from camera axes to those of a camera that looks at a point.

    Args:
        tangents: ``x / z`` and ``y / z`` of the point, ``[B, 2]``.

    Returns:
        The smallest such rotation, ``[B, 3, 3]``: it maps the ray to the point on the z axis.
    """
    ray = F.normalize(F.pad(tangents, (0, 1), value=1.0), dim=1)
    x, y, z = ray.unbind(1)
    axis = torch.stack([y, -x, torch.zeros_like(x)], dim=1)
    sine = axis.norm(dim=1, keepdim=True)
    angle = torch.atan2(sine, z.unsqueeze(1))
    return axis_angle_to_matrix(axis / sine.clamp_min(1e-9) * angle)
