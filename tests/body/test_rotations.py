import pytest
import torch
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

from bilayer_graph.body import (
    axis_angle_to_matrix,
    gram_schmidt,
    look_at,
    matrix_to_axis_angle,
    nearest_rotation,
)
from bilayer_graph.body.rotations import nearest_rotation_by_squaring


def vectors_of_angle(angle: float, count: int = 50) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    axis = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return angle * axis / axis.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.5, 2.0, 3.14159, 5.0])
def test_axis_angle_to_matrix_is_scipys(angle: float):
    vectors = vectors_of_angle(angle)
    expected = torch.tensor(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    torch.testing.assert_close(axis_angle_to_matrix(vectors), expected, atol=1e-12, rtol=0)
    single = axis_angle_to_matrix(vectors.float())
    torch.testing.assert_close(single, expected.float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.5, 2.0, 3.1, 3.14159, torch.pi])
def test_matrix_to_axis_angle_is_scipys(angle: float):
    matrices = Rotation.from_rotvec(vectors_of_angle(angle).numpy()).as_matrix()
    found = matrix_to_axis_angle(torch.tensor(matrices))
    torch.testing.assert_close(
        found.norm(dim=-1), torch.full((50,), angle).double(), atol=1e-6, rtol=0
    )
    again = Rotation.from_rotvec(found.numpy()).as_matrix()
    torch.testing.assert_close(torch.tensor(again), torch.tensor(matrices), atol=1e-9, rtol=0)


def test_axis_angle_gradients_are_right_and_finite_at_zero():
    vectors = vectors_of_angle(0.7, 4).requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_matrix, vectors)
    assert torch.autograd.gradcheck(
        matrix_to_axis_angle, axis_angle_to_matrix(vectors).detach().requires_grad_()
    )
    zero = torch.zeros(1, 3, requires_grad=True)
    axis_angle_to_matrix(zero)[0, 2, 1].backward()
    torch.testing.assert_close(zero.grad, torch.tensor([[1.0, 0.0, 0.0]]))
    eye = torch.eye(3).requires_grad_()
    matrix_to_axis_angle(eye).sum().backward()
    assert eye.grad.isfinite().all()


def test_nearest_rotation_is_the_polar_factor():
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(40, 3, 3, generator=generator, dtype=torch.float64)
    matrix[torch.linalg.det(matrix) < 0] *= -1
    expected = torch.stack([torch.tensor(polar(one.numpy())[0]) for one in matrix])
    torch.testing.assert_close(nearest_rotation(matrix), expected, atol=1e-10, rtol=0)


def test_nearest_rotation_of_a_reflection_is_the_best_proper_rotation():
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(20, 3, 3, generator=generator, dtype=torch.float64)
    matrix[torch.linalg.det(matrix) > 0] *= -1
    found = nearest_rotation(matrix)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(20).double())
    distance = (found - matrix).square().sum((-1, -2))
    others = torch.tensor(Rotation.random(20000, rng=0).as_matrix())
    best = torch.cdist(matrix.flatten(1), others.flatten(1)).square().min(1).values
    assert (distance <= best).all()
    assert (best - distance < 0.2).all()


def test_nearest_rotation_gradient():
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randn(10, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(nearest_rotation, matrix)
    # At a rotation all singular values are equal, where autograd through the SVD gives NaN.
    rotation = axis_angle_to_matrix(vectors_of_angle(1.0, 3)).requires_grad_()
    assert torch.autograd.gradcheck(nearest_rotation, rotation)


@pytest.mark.parametrize(
    "bad", [torch.zeros(1, 3, 3), -torch.eye(3)[None], 1e-20 * torch.eye(3)[None]]
)
def test_nearest_rotation_gradient_is_finite_where_it_is_not_defined(bad: torch.Tensor):
    bad = bad.clone().requires_grad_()
    rotation = nearest_rotation(bad)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(1))
    (rotation * torch.arange(9.0).view(3, 3)).sum().backward()
    assert bad.grad.isfinite().all()


def test_nearest_rotation_is_single_precision_under_autocast():
    matrix = axis_angle_to_matrix(vectors_of_angle(1.0)).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = nearest_rotation(matrix)
        lowered = nearest_rotation(matrix.bfloat16())
    torch.testing.assert_close(found, matrix, atol=1e-5, rtol=0)
    assert lowered.dtype == torch.float32


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e-9])
def test_nearest_rotation_gradient_is_held_where_the_projection_jumps(scale: float):
    matrix = (scale * torch.eye(3, dtype=torch.float64)).requires_grad_()
    weight = torch.arange(9.0, dtype=torch.float64).view(3, 3)
    rotation = nearest_rotation(matrix)
    (rotation * weight).sum().backward()
    # There the projection is R exp(W) with W the antisymmetric part of R^T dM over the sums.
    turned = rotation.detach().mT @ weight
    expected = rotation.detach() @ (turned - turned.mT) / 1e-4
    torch.testing.assert_close(matrix.grad, expected)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_one_bad_matrix_leaves_the_others_alone(bad: float):
    matrix = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = nearest_rotation(matrix)
    matrix[1, 0, 2, 1] = bad
    matrix.requires_grad_()
    found = nearest_rotation(matrix)
    rows = torch.tensor([0, 1, 3, 4, 5])
    assert found[1, 0].isnan().all()
    torch.testing.assert_close(found.flatten(0, 1)[rows], expected.flatten(0, 1)[rows])
    found.flatten(0, 1)[rows].sum().backward()
    assert matrix.grad.isfinite().all()


@pytest.mark.parametrize("noise", [0.0, 0.3, 3.0])
def test_nearest_rotation_without_svd(noise: float):
    generator = torch.Generator().manual_seed(3)
    turns = axis_angle_to_matrix(2 * torch.randn(5000, 3, generator=generator))
    matrix = turns + noise * torch.randn(5000, 3, 3, generator=generator)
    left, singular, right_t = torch.linalg.svd(matrix)
    # How far it is from where the projection jumps.
    gap = singular[:, 1] + torch.linalg.det(left @ right_t).sign() * singular[:, 2]
    clear = gap > 1e-2 * singular[:, 0]
    assert clear.float().mean() > 0.99
    found = nearest_rotation_by_squaring(matrix)
    difference = (found - nearest_rotation(matrix.double())).abs()[clear]
    assert difference.max() < 1e-4


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_nearest_rotation_without_svd_of_any_scale(scale: float):
    matrix = scale * torch.randn(10, 3, 3, generator=torch.Generator().manual_seed(4))
    matrix[3, 1, 1] = float("nan")
    found = nearest_rotation_by_squaring(matrix)
    rest = [0, 1, 2, *range(4, 10)]
    expected = nearest_rotation(matrix)
    torch.testing.assert_close(found[rest], expected[rest], atol=1e-4, rtol=0)
    assert found[3].isnan().all()


def test_gram_schmidt_is_qr():
    columns = torch.randn(6, 4, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    found = gram_schmidt(columns)
    torch.testing.assert_close(found @ found.mT, torch.eye(3).double().expand(6, 4, 3, 3))
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(6, 4).double())
    # QR is Gram and Schmidt's, up to the sign of each column.
    orthogonal, triangular = torch.linalg.qr(columns.mT)
    signs = triangular.diagonal(dim1=-2, dim2=-1).sign()
    torch.testing.assert_close(found[..., :2], orthogonal * signs.unsqueeze(-2))
    torch.testing.assert_close(gram_schmidt(found[..., :2].mT), found)


def test_gram_schmidt_gradient():
    columns = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    assert torch.autograd.gradcheck(gram_schmidt, columns.requires_grad_())
    zero = torch.zeros(1, 2, 3, requires_grad=True)
    gram_schmidt(zero).sum().backward()
    assert zero.grad.isfinite().all()


def test_a_camera_that_looks_at_a_point_sees_it_ahead():
    tangents = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()
    turn = look_at(tangents)
    ray = torch.nn.functional.pad(tangents, (0, 1), value=1.0)
    ahead = torch.tensor([0.0, 0.0, 1.0]).double() * ray.norm(dim=1, keepdim=True)
    torch.testing.assert_close((turn @ ray.unsqueeze(-1)).squeeze(-1), ahead)
    # No other rotation does it by a smaller angle: scipy's turns by the angle between the two.
    angle = Rotation.from_matrix(turn.numpy()).magnitude()
    torch.testing.assert_close(torch.from_numpy(angle), torch.atan(tangents.norm(dim=1)))
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(50).double())


def test_a_camera_that_looks_ahead_is_not_turned():
    tangents = torch.zeros(2, 2).requires_grad_()
    turn = look_at(tangents)
    torch.testing.assert_close(turn, torch.eye(3).expand(2, 3, 3))
    turn.sum().backward()
    assert tangents.grad.isfinite().all()
