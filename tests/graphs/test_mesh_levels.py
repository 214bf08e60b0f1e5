import pytest
import torch
import trimesh

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.graphs import mesh_level, mesh_levels
from bilayer_graph.testing import assert_close, sphere_mesh, to_dense


def cube(subdivisions=3):
    mesh = trimesh.creation.box(extents=(1.0, 1.0, 1.0))
    for _ in range(subdivisions):
        mesh = mesh.subdivide()
    return torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces)


def as_trimesh(level):
    return trimesh.Trimesh(level.vertices.numpy(), level.faces.numpy(), process=False)


def distance_to_mesh(point, vertices, faces):
    """Distance of one point, by projection onto every triangle and every side."""
    a, b, c = vertices[faces].unbind(1)
    distances = []
    for p, q in ((a, b), (b, c), (c, a)):
        along = ((point - p) * (q - p)).sum(1) / (q - p).square().sum(1)
        foot = p + along.clamp(0, 1).unsqueeze(1) * (q - p)
        distances.append((point - foot).norm(dim=1))
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    height = ((point - a) * normal).sum(1)
    foot = point - height.unsqueeze(1) * normal
    sides = [
        (torch.linalg.cross(q - p, foot - p) * normal).sum(1) for p, q in ((a, b), (b, c), (c, a))
    ]
    inside = (torch.stack(sides) >= 0).all(0)
    distances.append(torch.where(inside, height.abs(), torch.inf))
    return torch.stack(distances).min()


def dense(level):
    """Down and up as dense matrices."""
    sizes = level.up_index.size(0), level.kept.numel()
    return to_dense(*level.down(), sizes), to_dense(*level.up(), sizes[::-1])


@pytest.fixture(scope="module")
def body_levels():
    body = BodyModel.load()
    return body, mesh_levels(body.v_template, body.faces, [1723, 431])


@pytest.fixture(scope="module", params=["sphere to 162", "sphere to 99", "cube to 20", "body"])
def problem(request, body_levels):
    """A mesh and a coarser level of it."""
    body, levels = body_levels
    if request.param == "body":
        return body.v_template, levels[0]
    vertices, faces = cube() if request.param.startswith("cube") else sphere_mesh(3)
    return vertices, mesh_level(vertices, faces, int(request.param.split()[-1]))


def test_is_a_closed_manifold_of_the_exact_size(problem):
    vertices, level = problem
    mesh = as_trimesh(level)
    assert level.faces.shape == (2 * level.kept.numel() - 4, 3)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.euler_number == 2
    assert mesh.volume > 0
    assert level.up_index.shape == level.up_weight.shape == vertices.shape


def test_down_selects_vertices(problem):
    vertices, level = problem
    down, _ = dense(level)
    assert torch.equal(down.sum(1), torch.ones(level.kept.numel()).double())
    assert down.unique().tolist() == [0, 1]
    assert level.kept.unique().numel() == level.kept.numel()
    assert_close(down @ vertices.double(), level.vertices)
    assert torch.equal(vertices[level.kept], level.vertices)


def test_up_is_barycentric(problem):
    _, level = problem
    _, up = dense(level)
    assert (level.up_weight >= 0).all()
    assert_close(up.sum(1), torch.ones(up.size(0)), torch.float32)
    # The three corners are those of a face.
    faces = {tuple(sorted(face)) for face in level.faces.tolist()}
    assert {tuple(sorted(corners)) for corners in level.up_index.tolist()} <= faces


def test_kept_vertices_stay_where_they_are(problem):
    _, level = problem
    _, up = dense(level)
    assert_close(up[level.kept], torch.eye(level.kept.numel()), torch.bfloat16)
    moved = up[level.kept] @ level.vertices.double()
    assert (moved - level.vertices.double()).norm(dim=1).max() < 1e-5


@pytest.mark.parametrize(("make", "number"), [(lambda: sphere_mesh(3), 99), (cube, 20)])
def test_up_goes_to_the_nearest_point(make, number):
    vertices, faces = make()
    level = mesh_level(vertices, faces, number)
    _, up = dense(level)
    coarse, fine = level.vertices.double(), vertices.double()
    error = (up @ coarse - fine).norm(dim=1)
    for point in range(0, len(fine), 31):
        assert abs(error[point] - distance_to_mesh(fine[point], coarse, level.faces)) < 2e-6


def test_up_stays_on_the_side_that_looks_the_same_way(body_levels):
    body, levels = body_levels
    fine = trimesh.Trimesh(body.v_template.numpy(), body.faces.numpy(), process=False)
    coarse = as_trimesh(levels[0])
    spanned = coarse.vertex_normals[levels[0].up_index.numpy()]
    normals = (spanned * levels[0].up_weight.numpy()[..., None]).sum(1)
    # Lips, ears and finger webs fold within one face of the coarse mesh.
    assert ((normals * fine.vertex_normals).sum(1) < 0).mean() < 0.01


def test_linear_functions_on_flat_parts_survive():
    vertices, faces = cube()
    for number in (8, 20):
        level = mesh_level(vertices, faces, number)
        _, up = dense(level)
        assert (up @ level.vertices.double() - vertices.double()).abs().max() < 1e-6


def test_error_on_a_sphere_falls_with_the_edge_length_squared():
    vertices, faces = sphere_mesh(4)

    def error(number):
        level = mesh_level(vertices, faces, number)
        return (dense(level)[1] @ level.vertices.double() - vertices.double()).norm(dim=1).mean()

    # The sagitta of an edge of length l is l^2 / 8; N equilateral corners on a unit sphere have
    # edges of l^2 = 8 pi / (sqrt(3) N) = 14.5 / N.
    assert error(642) < 2 * 14.5 / 642 / 8
    assert error(162) < 2 * 14.5 / 162 / 8


def test_levels_are_made_one_from_the_other(body_levels):
    body, (first, second) = body_levels
    assert torch.equal(second.vertices, first.vertices[second.kept])
    assert second.up_index.size(0) == 1723
    up = dense(first)[1] @ dense(second)[1]
    error = (up @ second.vertices.double() - body.v_template.double()).norm(dim=1)
    assert error.mean() < 0.007
    assert error.max() < 0.06


def test_keeps_the_dtype():
    vertices, faces = sphere_mesh(1)
    level = mesh_level(vertices.double(), faces, 20)
    assert level.vertices.dtype == level.up_weight.dtype == torch.float64


def test_a_mesh_instead_of_vertices_and_faces():
    vertices, faces = sphere_mesh(2)
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    first, second = mesh_levels(mesh, sizes=[50, 20])
    expected = mesh_levels(vertices, faces, [50, 20])
    assert torch.equal(first.kept, expected[0].kept)
    assert torch.equal(second.up_weight, expected[1].up_weight)
    assert torch.equal(mesh_level(mesh, num_vertices=50).faces, first.faces)


def test_vertices_without_faces():
    with pytest.raises(InputError, match=r"^faces=None: points without .*Give faces .*or a mesh"):
        mesh_level(sphere_mesh(1)[0], num_vertices=20)


@pytest.mark.parametrize("number", [3, 42])
def test_a_size_out_of_range(number):
    vertices, faces = sphere_mesh(1)
    with pytest.raises(
        InputError, match=rf"^num_vertices={number}: the mesh has 42 .*from 4 to 41"
    ):
        mesh_level(vertices, faces, number)


def test_an_open_mesh():
    vertices, faces = sphere_mesh(1)
    with pytest.raises(InputError, match=r"^faces=\[79, 3\]: 3 edges lack two.*Give a closed"):
        mesh_level(vertices, faces[1:], 20)


def test_a_mesh_with_a_handle_keeps_it():
    torus = trimesh.creation.torus(1.0, 0.4, major_sections=24, minor_sections=12)
    vertices, faces = torch.tensor(torus.vertices), torch.tensor(torus.faces)
    mesh = as_trimesh(mesh_level(vertices, faces, 101))
    assert len(mesh.vertices) == 101
    assert mesh.is_watertight
    assert mesh.euler_number == 0


def test_two_pieces_stay_two():
    vertices, faces = sphere_mesh(2)
    level = mesh_level(torch.cat([vertices, vertices + 3]), torch.cat([faces, faces + 162]), 99)
    mesh = as_trimesh(level)
    assert len(mesh.vertices) == 99
    assert mesh.is_watertight
    assert mesh.body_count == 2


def test_points_that_are_not_finite():
    vertices, faces = sphere_mesh(1)
    vertices[5, 1] = torch.nan
    with pytest.raises(InputError, match=r"^vertices=.* in row 5: not finite.*Remove or repair"):
        mesh_level(vertices, faces, 20)
