"""The rasteriser against a float64 loop over faces and pixels, and closed forms."""

import numpy as np
import pytest
import torch
import trimesh

from bilayer_graph.render.rasterizer import _sortable, rasterize, rasterize_hits


def loop_rasterize(points, depth, faces, height, width, cull_back):
    """One picture in float64: the nearest depth, and the margin to the next edge or surface."""
    nearest = np.full((height, width), np.inf)
    winner = np.full((height, width), -1)
    weights = np.zeros((height, width, 3))
    rows, columns = np.mgrid[:height, :width] + 0.5
    centres = np.stack([columns, rows], -1)
    clear = np.full((height, width), np.inf)
    for number, face in enumerate(faces):
        a, b, c = points[face]
        twice = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if twice == 0 or (cull_back and twice > 0):
            continue
        matrix = np.linalg.inv(np.stack([b - a, c - a], 1))
        local = (centres - a) @ matrix.T
        bary = np.concatenate([1 - local.sum(-1, keepdims=True), local], -1)
        inside = (bary >= 0).all(-1)
        clear = np.minimum(clear, np.abs(bary).min(-1) + 10 * np.maximum(-bary.min(-1) - 1e-3, 0))
        z = bary @ depth[face]
        closer = inside & (z < nearest)
        nearest[closer], winner[closer], weights[closer] = z[closer], number, bary[closer]
    return winner, weights, nearest, clear > 1e-4


def sphere(batch, size, seed=0):
    mesh = trimesh.creation.icosphere(subdivisions=2)
    generator = torch.Generator().manual_seed(seed)
    vertices = torch.tensor(mesh.vertices).float() * torch.rand(batch, 1, 3, generator=generator)
    vertices = vertices + 0.4 * torch.randn(batch, 1, 3, generator=generator)
    return vertices, (vertices[..., :2] + 1) * (size / 2), torch.tensor(mesh.faces).long()


@pytest.mark.parametrize("cull_back", [True, False])
def test_equals_float64_loop_on_triangle_soup(cull_back, device):
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(2, 60, 2, generator=generator) * 60 - 12
    depth = torch.randn(2, 60, generator=generator)
    faces = torch.randint(60, (40, 3), generator=generator)
    found = rasterize(
        points.to(device), depth.to(device), faces.to(device), 31, 37, cull_back=cull_back
    )
    for picture in range(2):
        winner, weights, nearest, clear = loop_rasterize(
            *(x[picture].double().numpy() for x in (points, depth)),
            faces.numpy(),
            31,
            37,
            cull_back,
        )
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(found.face_index[picture].cpu().numpy()[clear], winner[clear])
        covered = clear & (winner >= 0)
        assert covered.mean() > 0.2
        for mine, theirs in ((found.barycentric, weights), (found.depth, nearest)):
            np.testing.assert_allclose(
                mine[picture].cpu().numpy()[covered], theirs[covered], atol=2e-3
            )
        assert torch.isinf(
            found.depth[picture].cpu()[torch.tensor(winner < 0) & torch.tensor(clear)]
        ).all()


def test_equals_closed_form_of_two_spheres():
    """Two spheres that cut into each other: the nearer surface along every ray, and its outline."""
    size = 65
    mesh = trimesh.creation.icosphere(subdivisions=5)
    centres = torch.tensor([[-0.2, 0.0, 0.0], [0.25, 0.1, 0.2]])
    radii = torch.tensor([0.5, 0.6])
    ball = torch.tensor(mesh.vertices).float()
    vertices = torch.cat([centres[k] + radii[k] * ball for k in range(2)])[None]
    faces = torch.cat([torch.tensor(mesh.faces), torch.tensor(mesh.faces) + len(ball)]).long()
    points = (vertices[..., :2] + 1) * (size / 2)
    found = rasterize(points, vertices[..., 2], faces, size, size)
    line = (torch.arange(size) + 0.5) * (2 / size) - 1
    place = torch.stack([line.expand(size, size), line[:, None].expand(size, size)], -1)
    flat = (place.unsqueeze(2) - centres[:, :2]).square().sum(-1)
    surface = centres[:, 2] - (radii**2 - flat).sqrt()
    expected, nearest = surface.nan_to_num(torch.inf).min(-1)
    clear = ((flat.sqrt() - radii).abs() > 0.02).all(-1)
    assert torch.equal(found.depth[0].isinf()[clear], expected.isinf()[clear])
    inside = clear & expected.isfinite()
    torch.testing.assert_close(found.depth[0][inside], expected[inside], atol=4e-3, rtol=0)
    apart = inside & ((surface[..., 0] - surface[..., 1]).nan_to_num(1.0).abs() > 0.01)
    sphere_index = found.face_index[0] // len(mesh.faces)
    assert torch.equal(sphere_index[apart], nearest[apart])
    assert apart.float().mean() > 0.25


def test_weights_rebuild_the_pixel_centre():
    vertices, points, faces = sphere(3, 32)
    hits = rasterize_hits(points, vertices[..., 2], faces, 32, 32)
    corners = points[hits.picture.unsqueeze(-1), faces[hits.face]]
    centre = (corners * hits.barycentric.unsqueeze(-1)).sum(1)
    column, row = hits.pixel % 32, hits.pixel // 32 % 32
    torch.testing.assert_close(centre, torch.stack([column, row], -1) + 0.5, atol=2e-3, rtol=0)
    assert torch.equal(hits.picture, hits.pixel // (32 * 32))


def test_closed_mesh_has_no_holes():
    """A sphere that fills the picture covers every pixel, edges between faces included."""
    vertices, _, faces = sphere(1, 64)
    mesh = trimesh.creation.icosphere(subdivisions=3)
    vertices = torch.tensor(mesh.vertices).float()[None]
    # Vertices on pixel centres: the worst case for falling between two faces.
    points = (vertices[..., :2] * 200).round() + 32.5
    faces = torch.tensor(mesh.faces).long()
    assert len(rasterize_hits(points, vertices[..., 2], faces, 64, 64).pixel) == 64 * 64


def test_independent_of_batch_and_repeatable():
    vertices, points, faces = sphere(4, 48)
    together = rasterize(points, vertices[..., 2], faces, 48, 48)
    again = rasterize(points, vertices[..., 2], faces, 48, 48)
    for one, other in zip(together, again, strict=True):
        assert torch.equal(one, other)
    for picture in range(4):
        part = slice(picture, picture + 1)
        alone = rasterize(points[part], vertices[part, :, 2], faces, 48, 48)
        for one, other in zip(together, alone, strict=True):
            assert torch.equal(one[part], other)


def test_equal_depth_goes_to_the_lower_face_in_any_order():
    points = torch.tensor([[[0.0, 0.0], [0.0, 8.0], [8.0, 0.0]]])
    faces = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1]])
    found = rasterize(points, torch.full((1, 3), 2.5), faces, 8, 8)
    assert set(found.face_index.unique().tolist()) == {-1, 0}


def test_depth_keys_sort_like_the_depths(device):
    depth = torch.tensor([-torch.inf, -3e9, -70.0, -1e-9, 0.0, 1e-9, 0.5, 3.0, 3e9, torch.inf])
    # Next to one another, too.
    depth = torch.stack([depth, depth.nextafter(torch.tensor(4e9))], -1).flatten()[:-1]
    assert (_sortable(depth.to(device)).diff() > 0).all()


@pytest.mark.parametrize("pairs", [1, 7, 500])
def test_blocks_of_pairs_change_nothing(pairs, monkeypatch):
    vertices, points, faces = sphere(2, 32)
    whole = rasterize(points, vertices[..., 2], faces, 32, 32)
    monkeypatch.setattr("bilayer_graph.render.rasterizer._PAIRS", pairs)
    for one, other in zip(whole, rasterize(points, vertices[..., 2], faces, 32, 32), strict=True):
        assert torch.equal(one, other)


def test_broken_vertices_cover_nothing():
    """Meshes of an untrained model may hold anything."""
    vertices, points, faces = sphere(1, 16)
    points[0, 5] = torch.nan
    points[0, 6] = torch.inf
    found = rasterize(points, vertices[..., 2], faces, 16, 16)
    broken = ((faces == 5) | (faces == 6)).any(1).nonzero()
    assert not torch.isin(found.face_index, broken).any()
    assert torch.isfinite(found.barycentric).all()


def test_empty_pictures():
    vertices, points, faces = sphere(2, 16)
    found = rasterize(points + 1000, vertices[..., 2], faces, 16, 16)
    assert (found.face_index == -1).all()
    assert torch.isinf(found.depth).all()
