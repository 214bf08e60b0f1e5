import numpy as np
import torch

from bilayer_graph.body import fit_camera, project

GENERATOR = torch.Generator().manual_seed(0)
POINTS = torch.randn(4, 12, 3, generator=GENERATOR)
CAMERA = torch.tensor([[0.9, 0.1, -0.2], [1.4, 0.0, 0.3], [0.3, -1.0, 0.5], [2.0, 0.2, 0.2]])


def test_project_by_hand():
    point = torch.tensor([[[1.0, 2.0, 50.0]]])
    camera = torch.tensor([[0.5, 3.0, -1.0]])
    torch.testing.assert_close(project(point, camera), torch.tensor([[[2.0, 0.5]]]))


def test_fit_camera_finds_the_camera():
    torch.testing.assert_close(fit_camera(POINTS, project(POINTS, CAMERA)), CAMERA)


def test_fit_camera_is_the_weighted_least_squares_solution():
    target = project(POINTS, CAMERA) + 0.1 * torch.randn(4, 12, 2, generator=GENERATOR)
    weight = torch.rand(4, 12, generator=GENERATOR)
    found = fit_camera(POINTS, target, weight)
    problems = zip(POINTS.numpy(), target.numpy(), weight.numpy(), found, strict=True)
    for points, wanted, weights, camera in problems:
        root = np.sqrt(weights)
        rows = [np.stack([points[:, 0], np.ones(12), np.zeros(12)], 1) * root[:, None]]
        rows += [np.stack([points[:, 1], np.zeros(12), np.ones(12)], 1) * root[:, None]]
        right = np.concatenate([wanted[:, 0] * root, wanted[:, 1] * root])
        scale, shift_x, shift_y = np.linalg.lstsq(np.concatenate(rows), right, rcond=None)[0]
        expected = torch.tensor([scale, shift_x / scale, shift_y / scale], dtype=torch.float32)
        torch.testing.assert_close(camera, expected, atol=1e-4, rtol=1e-4)


def test_invisible_points_do_not_count_even_as_nan():
    target = project(POINTS, CAMERA)
    visible = torch.ones(4, 12, dtype=torch.bool)
    visible[:, 3] = False
    target[:, 3] = torch.nan
    torch.testing.assert_close(fit_camera(POINTS, target, visible), CAMERA)


def test_degenerate_fits_are_finite():
    target = project(POINTS, CAMERA)
    nobody = fit_camera(POINTS, target, torch.zeros(4, 12))
    one = fit_camera(POINTS, target, torch.eye(12)[:4])
    mirrored = fit_camera(POINTS, -target)
    for camera in (nobody, one, mirrored):
        assert camera.isfinite().all()
        torch.testing.assert_close(camera[:, 0], torch.full((4,), 1e-3))
