"""Meshes as files hold them: mended, or refused with a word on what to do."""

import numpy as np
import pytest
import torch
import trimesh

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import mesh_level, mesh_levels
from bilayer_graph.testing import assert_close, sphere_mesh, to_dense

VERTICES, FACES = sphere_mesh(2)
VERTICES = VERTICES.double()


def assert_is_a_level(level, vertices, number):
    """What every level must be, of whatever mesh."""
    rows, corners = level.up_index.size(0), level.faces
    assert level.vertices.shape == (number, 3)
    assert level.kept.unique().numel() == number
    assert torch.equal(level.vertices, vertices[level.kept])
    assert rows == len(vertices)
    assert torch.equal(corners.unique(), torch.arange(number))
    sides = torch.cat([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    # Consistent and closed: each side once, and once backwards.
    assert sides.unique(dim=0).size(0) == len(sides)
    assert torch.equal(sides.unique(dim=0), sides.flip(1).unique(dim=0))
    assert level.up_weight.isfinite().all()
    assert (level.up_weight >= 0).all()
    up = to_dense(*level.up(), (number, rows))
    assert_close(up.sum(1), torch.ones(rows).double(), torch.float32)
    assert torch.equal(up[level.kept], torch.eye(number).double())
    return up


def turned(faces, which):
    faces = faces.clone()
    faces[which] = faces[which][:, [0, 2, 1]]
    return faces


def grid(rows, columns, place):
    """A closed sheet of squares whose last row and column lie on the first, vertices doubled."""
    u, v = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    return torch.tensor(place(u.ravel(), v.ravel()).T), torch.tensor(faces)


def globe(u, v):
    turn, fall = 2 * np.pi * u, np.pi * v
    return np.stack([np.sin(fall) * np.cos(turn), np.sin(fall) * np.sin(turn), np.cos(fall)])


def ring(u, v):
    turn, around = 2 * np.pi * u, 2 * np.pi * v
    width = 2 + np.cos(around)
    return np.stack([width * np.cos(turn), width * np.sin(turn), np.sin(around)])


def bottle(u, v):
    turn, around = 2 * np.pi * u, 2 * np.pi * v
    first = np.cos(turn / 2) * np.sin(around) - np.sin(turn / 2) * np.sin(2 * around)
    second = np.sin(turn / 2) * np.sin(around) + np.cos(turn / 2) * np.sin(2 * around)
    return np.stack([(2 + first) * np.cos(turn), (2 + first) * np.sin(turn), second])


def loose():
    """Each triangle with vertices of its own, as a file with one texture a triangle has them."""
    return VERTICES[FACES.flatten()], torch.arange(FACES.numel()).view(-1, 3)


def cube(subdivisions=3):
    mesh = trimesh.creation.box(extents=(1.0, 1.0, 1.0))
    for _ in range(subdivisions):
        mesh = mesh.subdivide()
    return torch.tensor(mesh.vertices), torch.tensor(mesh.faces)


@pytest.mark.parametrize("which", [[0], [3, 40, 41, 200], slice(None, None, 3)], ids=str)
def test_faces_turned_round_turn_back(which):
    expected = mesh_level(VERTICES, FACES, 42)
    level = mesh_level(VERTICES, turned(FACES, which), 42)
    assert torch.equal(level.kept, expected.kept)
    assert torch.equal(level.faces, expected.faces)


def test_of_as_many_faces_turned_each_way_the_outside_decides():
    level = mesh_level(VERTICES, turned(FACES, slice(None, None, 2)), 42)
    assert_is_a_level(level, VERTICES, 42)
    assert trimesh.Trimesh(level.vertices.numpy(), level.faces.numpy(), process=False).volume > 0


def test_a_mesh_inside_out_stays_so():
    level = mesh_level(VERTICES, turned(FACES, slice(None)), 42)
    assert trimesh.Trimesh(level.vertices.numpy(), level.faces.numpy(), process=False).volume < 0


@pytest.mark.parametrize(
    "extra",
    [
        torch.tensor([[0, 0, 1], [5, 5, 5], [3, 9, 3]]),
        FACES[4:9],
        FACES[4:9].flip(1),
        FACES.flip(1),
    ],
    ids=["a vertex twice", "copies", "copies from behind", "all from behind"],
)
def test_faces_too_many_go(extra):
    expected = mesh_level(VERTICES, FACES, 42)
    level = mesh_level(VERTICES, torch.cat([FACES, extra]), 42)
    assert torch.equal(level.kept, expected.kept)
    assert torch.equal(level.up_weight, expected.up_weight)


@pytest.mark.parametrize(
    "make",
    [loose, lambda: grid(17, 12, globe), lambda: grid(17, 9, ring)],
    ids=["all", "globe", "ring"],
)
def test_copies_along_seams_are_one_vertex(make):
    vertices, faces = make()
    level = mesh_level(vertices, faces, 40)
    up = assert_is_a_level(level, vertices, 40)
    place = (vertices.unsqueeze(0) - vertices.unsqueeze(1)).norm(dim=2) < 1e-9
    for row in range(0, len(vertices), 7):
        assert_close(up[place[row]], up[row].expand(int(place[row].sum()), -1))
    assert (up @ level.vertices - vertices).norm(dim=1).max() < 0.5


def test_pieces_stay_apart_at_one_place():
    vertices = torch.cat([VERTICES, VERTICES, VERTICES * 1e-3 + 40])
    faces = torch.cat([FACES, FACES + 162, FACES + 324])
    level = mesh_level(vertices, faces, 160)
    assert_is_a_level(level, vertices, 160)
    assert torch.equal(
        level.kept[level.up_index] // 162, (torch.arange(486) // 162)[:, None].expand(-1, 3)
    )
    assert (level.kept[level.faces] // 162).diff(dim=1).eq(0).all()


@pytest.mark.parametrize("number", [99, 322])
def test_surfaces_that_touch_in_a_vertex(number):
    west, east = int(VERTICES[:, 0].argmin()), int(VERTICES[:, 0].argmax())
    other = torch.arange(162) + 162
    other[west] = east
    other[west + 1 :] -= 1
    moved = VERTICES + VERTICES[east] - VERTICES[west]
    vertices = torch.cat([VERTICES, moved[:west], moved[west + 1 :]])
    level = mesh_level(vertices, torch.cat([FACES, other[FACES]]), number)
    up = assert_is_a_level(level, vertices, number)
    second = level.kept[level.faces].amax(1) >= 162
    assert not set(level.faces[second].flatten().tolist()) & set(
        level.faces[~second].flatten().tolist()
    )
    assert (up @ level.vertices - vertices).norm(dim=1).max() < 0.2


@pytest.mark.parametrize("thickness", [0.0, 1e-12])
def test_linear_functions_on_a_sheet_survive(thickness):
    vertices, faces = cube()
    vertices = vertices * torch.tensor([1.0, 1.0, thickness])
    level = mesh_level(vertices, faces, 50)
    up = assert_is_a_level(level, vertices, 50)
    assert (up @ level.vertices - vertices).abs().max() < 1e-6


def test_sides_of_a_sheet_stay_apart():
    flat = VERTICES * torch.tensor([1.0, 1.0, 0.0])
    up = assert_is_a_level(level := mesh_level(flat, FACES, 42), flat, 42)
    height = up @ VERTICES[level.kept, 2]
    # The rim is on both sides, and a face or two of the coarse mesh folds over.
    middle = VERTICES[:, 2].abs() > 0.5
    assert (height * VERTICES[:, 2] > 0)[middle].double().mean() > 0.95


def needle():
    vertices = VERTICES.clone()
    vertices[vertices[:, 2] > 0.2, :2] = 0
    return vertices


def knot():
    vertices = VERTICES.clone()
    vertices[5:60] = vertices[5]
    return vertices


@pytest.mark.parametrize(
    "make",
    [needle, knot, lambda: VERTICES * torch.tensor([1, 1e-9, 1e-9])],
    ids=["needle", "knot", "hair"],
)
@pytest.mark.parametrize("number", [20, 42, 150])
def test_faces_without_area(make, number):
    vertices = make()
    assert_is_a_level(mesh_level(vertices, FACES, number), vertices, number)


@pytest.mark.parametrize("scale", [2.0**-600, 2.0**-20, 2.0**30, 2.0**900])
def test_the_unit_does_not_matter(scale):
    expected = mesh_level(VERTICES, FACES, 42)
    level = mesh_level(VERTICES * scale, FACES, 42)
    assert torch.equal(level.kept, expected.kept)
    assert torch.equal(level.up_weight, expected.up_weight)


def test_the_place_does_not_matter():
    vertices = (VERTICES * 2**20).round() / 2**20
    expected = mesh_level(vertices, FACES, 42)
    shift = torch.tensor([2.0**24, -(2.0**23), 0.0])
    assert torch.equal(mesh_level(vertices + shift, FACES, 42).kept, expected.kept)
    # Arrays round to float32, but only after the level is found.
    level = mesh_level((vertices + shift).numpy(), FACES, 42)
    assert level.vertices.dtype == torch.float32
    assert torch.equal(level.kept, expected.kept)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("integer", [torch.uint8, torch.int32])
def test_small_dtypes(dtype, integer):
    level = mesh_level(VERTICES.to(dtype), FACES.to(integer), 42)
    assert level.vertices.dtype == level.up_weight.dtype == dtype
    assert_close(level.up_weight.double().sum(1), torch.ones(162).double(), torch.bfloat16)


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (torch.cat([VERTICES, VERTICES[:2] + 5]), FACES, r"^vertices=.*no face uses 2 .*row 162"),
        (VERTICES * torch.tensor([1.0, 0, 0]), FACES, r"^vertices=.*no face has an area"),
        (VERTICES[:, :1] * torch.tensor([1.0, 2, 3]), FACES, r"^vertices=.*no face has an area"),
        (VERTICES * 0 + 7, FACES, r"^vertices=.*no face has an area"),
        (
            torch.cat([VERTICES, torch.zeros(1, 3)]),
            torch.cat([FACES, torch.tensor([[*FACES[0, :2], 162]])]),
            r"^faces=\[321, 3\]: more than two faces meet in 1 edges, .*without inner walls",
        ),
        (*grid(25, 13, bottle), r"^faces=.*one side only.*two sides"),
        (VERTICES.numpy() * 1e300, FACES, r"^vertices=up to 1e\+300: out of the range"),
    ],
    ids=["unused", "line", "diagonal", "point", "fin", "Klein bottle", "out of range"],
)
def test_what_is_no_surface(vertices, faces, message):
    with pytest.raises(InputError, match=message):
        mesh_level(vertices, faces, 42)


@pytest.mark.parametrize("number", [0, -1, 3, 162, 10**12, 42.0, None, "42"])
def test_a_size_that_is_none(number):
    with pytest.raises(InputError, match=r"^num_vertices=.*has 162 .*whole number from 4 to 161"):
        mesh_level(VERTICES, FACES, number)


@pytest.mark.parametrize("sizes", [42, "42", [42, 99], [42, 42]])
def test_sizes_that_are_none(sizes):
    with pytest.raises(InputError, match=r"^sizes="):
        mesh_levels(VERTICES, FACES, sizes)


def test_too_few_vertices_for_the_pieces():
    vertices = torch.cat([VERTICES + 3 * step for step in range(5)])
    faces = torch.cat([FACES + 162 * step for step in range(5)])
    with pytest.raises(InputError, match=r"^num_vertices=19: .*stopped at 20"):
        mesh_level(vertices, faces, 19)


def test_two_tetrahedra_that_touch_cannot_be_smaller():
    corners = torch.eye(4, 3).roll(1, 0).double()
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    other = torch.where(faces == 0, 0, faces + 3)
    with pytest.raises(InputError, match=r"^num_vertices=6: .*stopped at 8"):
        mesh_level(torch.cat([corners, -corners[1:]]), torch.cat([faces, other]), 6)
