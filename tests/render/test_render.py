"""Shading against closed forms on a sphere, and normals against trimesh."""

import numpy as np
import torch
import trimesh

from bilayer_graph.body import project
from bilayer_graph.render.clay import shade as shade_pixels
from bilayer_graph.render.normals import Normals

SPHERE = trimesh.creation.icosphere(subdivisions=4)


def shade(vertices, faces, camera, size, colours=None):
    pixels = (project(vertices, camera) + 1) * (size / 2)
    return shade_pixels(vertices, faces, pixels, (size, size), colours)


FACES = torch.tensor(SPHERE.faces).long()


def test_normals_equal_trimesh(device):
    mesh = trimesh.creation.torus(1.0, 0.3)
    vertices = torch.tensor(mesh.vertices).float()
    faces = torch.tensor(mesh.faces).long()
    batch = torch.stack([vertices, vertices * torch.tensor([1.0, 2.0, 0.5])]).to(device)
    normals = torch.nn.functional.normalize(Normals(faces.to(device), len(vertices))(batch), dim=-1)
    for moved, mine in zip(batch.cpu(), normals.cpu(), strict=True):
        fresh = trimesh.Trimesh(moved.numpy(), mesh.faces, process=False)
        expected = np.zeros_like(fresh.vertices)
        for corner in range(3):
            np.add.at(
                expected, fresh.faces[:, corner], fresh.face_normals * fresh.area_faces[:, None]
            )
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(mine.numpy(), expected, atol=1e-4)


def test_mask_is_the_disc(device):
    vertices = torch.tensor(SPHERE.vertices).float()[None].to(device) * 0.5
    camera = torch.tensor([[1.2, 0.1, -0.2]], device=device)
    rgb, mask = shade(vertices, FACES.to(device), camera, 64)
    assert rgb.shape == (1, 3, 64, 64)
    assert mask.shape == (1, 1, 64, 64)
    # Covered area and centre of a disc of radius 0.6 at (0.12, -0.24) in crop units.
    area = mask.sum().item() * (2 / 64) ** 2
    assert abs(area - np.pi * 0.36) < 0.01
    line = (torch.arange(64, device=device) + 0.5) / 32 - 1
    weight = mask[0, 0] / mask.sum()
    assert abs((weight.sum(0) * line).sum().item() - 0.12) < 1e-3
    assert abs((weight.sum(1) * line).sum().item() + 0.24) < 1e-3
    assert ((mask > 0) & (mask < 1)).any()


def test_lit_from_above_and_left():
    vertices = torch.tensor(SPHERE.vertices).float()[None] * 0.8
    rgb, mask = shade(vertices, FACES, torch.tensor([[1.0, 0.0, 0.0]]), 65)
    grey = rgb[0].mean(0)
    assert grey[20, 32] > grey[44, 32] + 0.1
    assert grey[32, 20] > grey[32, 44] + 0.05
    # Smooth: neighbours on the sphere differ little although the faces are flat.
    inner = grey[20:45, 20:45]
    assert inner.diff(dim=0).abs().max() < 0.03
    assert (rgb[mask.expand_as(rgb) == 0] == 0).all()
    assert rgb.max() <= 1


def test_colours_scale_the_light():
    vertices = torch.tensor(SPHERE.vertices).float()[None] * 0.8
    camera = torch.tensor([[1.0, 0.0, 0.0]])
    red = torch.tensor([0.5, 0.0, 0.25])
    white, _ = shade(vertices, FACES, camera, 32, torch.ones_like(vertices))
    coloured, mask = shade(vertices, FACES, camera, 32, red.expand_as(vertices))
    torch.testing.assert_close(coloured, white * red.view(3, 1, 1))
    # Colours vary with the vertices: left black, right white.
    halves = (vertices[..., :1] > 0).float().expand_as(vertices)
    split, _ = shade(vertices, FACES, camera, 32, halves)
    assert (split[0, :, 16, 8] == 0).all()
    torch.testing.assert_close(split[..., 24], white[..., 24])
    assert mask[0, 0, 16, 8] == 1
