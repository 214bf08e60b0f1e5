"""What is drawn over pictures: bones in the colours of their sides."""

import numpy as np
import pytest
import torch

from bilayer_graph.body import HUMAN, Skeleton, project
from bilayer_graph.render import shade
from bilayer_graph.render.panels import lay_over, overlay
from bilayer_graph.testing import sphere_mesh

BLUE, YELLOW, RED = (66, 135, 245), (240, 200, 60), (235, 87, 87)
PAW = Skeleton(("left_toe", "heel", "right_toe"), ((0, 1), (0, 2)), root=(1,))
POINTS = torch.tensor([[0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, -0.5, 0.0]])


def draw(keypoints, skeleton, joints, scale=1.0):
    vertices, faces = sphere_mesh(1)
    crop, camera = torch.zeros(3, 100, 100), torch.tensor([[scale, 0.0, 0.0]])

    def flat(points):
        return project(points[None], camera)[0]

    picture = overlay(crop, keypoints, vertices * 0.2, faces, joints, flat, skeleton)
    assert picture.size == (400, 100)
    return np.asarray(picture)


def test_another_skeleton():
    keypoints = torch.cat([POINTS[:, :2], torch.ones(3, 1)], dim=1)
    for panel in draw(keypoints, PAW, POINTS).reshape(100, 4, 100, 3).transpose(1, 0, 2, 3)[:2]:
        assert tuple(panel[25, 75]) == BLUE
        assert tuple(panel[75, 75]) == YELLOW
        assert tuple(panel[25, 25]) == RED
        assert tuple(panel[25, 50]) == tuple(panel[50, 75]) == YELLOW
        assert tuple(panel[75, 25]) == (0, 0, 0)


def test_missing_joints_are_left_out():
    keypoints = torch.cat([POINTS[:, :2], torch.tensor([[1.0], [0.0], [1.0]])], dim=1)
    panel = draw(keypoints, PAW, POINTS)[:, :100]
    assert tuple(panel[75, 75]) == tuple(panel[50, 75]) == (0, 0, 0)
    assert tuple(panel[25, 75]) == BLUE


def test_human_sides():
    line = torch.linspace(-0.9, 0.9, 12)
    joints = torch.stack([line, torch.zeros(12), torch.zeros(12)], dim=1)
    keypoints = torch.cat([joints[:, :2], torch.ones(12, 1)], dim=1)
    panel = draw(keypoints, HUMAN, joints)[50, :100]
    colours = [tuple(panel[int((x + 1) * 50)]) for x in line.tolist()]
    assert colours == [RED] * 3 + [BLUE] * 3 + [RED] * 3 + [BLUE] * 3


@pytest.mark.parametrize(("scale", "pixels"), [(1.0, 20), (20.0, 95)])
def test_other_views_show_the_whole_mesh(scale, pixels):
    picture = draw(torch.zeros(3, 3), PAW, torch.zeros(3, 3), scale)
    for panel in (picture[:, 200:300], picture[:, 300:]):
        covered = (panel != panel[0, 0]).any(axis=2)
        for extent in (covered.any(axis=0).sum(), covered.any(axis=1).sum()):
            assert extent == pytest.approx(pixels, abs=2)


@pytest.mark.parametrize("shift", [0.0, 30.0, -40.0, 500.0])
def test_meshes_over_a_picture_are_drawn_where_they_are(shift):
    """As on the whole picture, though only their part of it is drawn."""
    vertices, faces = sphere_mesh(2)
    pixels = 20 * vertices[:, :2] + torch.tensor([50.0 + shift, 35.3])
    picture = torch.rand(3, 70, 100, generator=torch.Generator().manual_seed(0))
    for samples in (1, 2):
        drawn = lay_over(picture, [vertices], faces, [pixels], samples)
        rgb, mask = shade(vertices[None], faces, pixels[None], (70, 100), samples=samples)
        whole = mask * rgb + (1 - mask) * picture
        expected = (255 * whole[0]).round().permute(1, 2, 0).numpy()
        assert np.abs(np.asarray(drawn) - expected).max() <= 1


def test_more_samples_have_smoother_edges():
    vertices, faces = sphere_mesh(2)
    pixels = 20 * vertices[:, :2] + 35.3
    covered = [
        shade(vertices[None], faces, pixels[None], (70, 70), samples=samples)[1]
        for samples in (1, 2, 3)
    ]
    assert [len(mask.unique()) for mask in covered] == [2, 5, 10]
    for mask in covered:
        assert float(mask.sum()) == pytest.approx(np.pi * 400, rel=0.03)
