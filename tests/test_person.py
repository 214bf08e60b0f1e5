"""What can be done with a recovered person: mesh, overlay, files."""

import numpy as np
import pytest
import torch
import trimesh
from gltf_file import Gltf
from PIL import Image
from predictors import body_model, keypoints, predictor

from bilayer_graph.body import PerspectiveCamera, axis_angle_to_matrix
from bilayer_graph.errors import InputError
from bilayer_graph.person import FILES, PANEL_SIZE
from bilayer_graph.pictures import person_box, to_crop
from bilayer_graph.recovery.people_overlay import MAX_SIDE, overlay_people

GREEN = (0, 255, 0)


@pytest.fixture(scope="module")
def person():
    (found,) = predictor()(Image.new("RGB", (320, 240), GREEN), keypoints())
    return found


@pytest.fixture(scope="module")
def saved(person, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "deep" / "er"
    person.save(folder)
    return folder


def test_files(saved):
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)


def test_glb(saved, person):
    gltf = Gltf(saved / "mesh.glb")
    document, part = gltf.document, gltf.part
    (material,) = document["materials"]
    assert material["name"] == "clay"
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert part["material"] == 0
    assert "person" in [node.get("name") for node in document["nodes"]]
    vertices = gltf.attribute("POSITION")
    np.testing.assert_allclose(vertices, person.vertices * torch.tensor([1, -1, -1]), atol=1e-6)
    faces = gltf.array(part["indices"]).reshape(-1, 3)
    np.testing.assert_array_equal(faces, person.faces)
    normals = gltf.attribute("NORMAL")
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
    # Smooth: one normal a vertex, the mean of the faces around it, which all look its way.
    a, b, c = vertices[faces].transpose(1, 0, 2)
    flat = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, faces[:, corner], flat)
    total /= np.linalg.norm(total, axis=1, keepdims=True)
    assert np.median((total * normals).sum(1)) > 0.99
    # Outwards: the volume that such faces enclose is positive.
    assert (a * flat).sum() / 6 > 0.02


def test_rigged_glb(saved, person):
    gltf = Gltf(saved / "rigged.glb")
    np.testing.assert_allclose(gltf.skinned(), person.mesh().vertices, atol=1e-5)
    assert "animations" not in gltf.document
    # In rest pose it stands upright: its height is the person's.
    up = gltf.attribute("POSITION")[:, 1]
    assert person.height == pytest.approx(up.max() - up.min(), abs=1e-6)
    assert 1 < person.height < 2.2


def test_obj(saved, person):
    mesh = trimesh.load(saved / "mesh.obj", process=False)
    np.testing.assert_allclose(mesh.vertices, person.mesh().vertices, atol=6e-6)
    np.testing.assert_array_equal(mesh.faces, person.faces)
    np.testing.assert_allclose(mesh.vertex_normals, person.mesh().vertex_normals, atol=1e-3)


def test_npz(saved, person):
    arrays = np.load(saved / "prediction.npz")
    posed = body_model()(
        torch.from_numpy(arrays["betas"])[None],
        axis_angle_to_matrix(torch.from_numpy(arrays["body_pose"]))[None],
        axis_angle_to_matrix(torch.from_numpy(arrays["global_orient"]))[None],
    )
    np.testing.assert_allclose(posed.vertices[0], arrays["vertices"], atol=1e-4)
    moved = arrays["joints"] + arrays["place"]
    pixels = arrays["focal"] * moved[:, :2] / moved[:, 2:] + arrays["centre"]
    np.testing.assert_allclose(pixels, arrays["joints2d"], atol=1e-2)


def test_floor(person, tmp_path):
    standing = person.mesh(floor=True)
    assert standing.vertices[:, 1].min() == pytest.approx(0, abs=1e-7)
    move = standing.vertices - person.mesh().vertices
    np.testing.assert_allclose(move, np.broadcast_to(move[0] * [0, 1, 0], move.shape), atol=1e-6)
    person.save(tmp_path, overlay=False, floor=True)
    assert not (tmp_path / "overlay.png").exists()
    lowest = Gltf(tmp_path / "mesh.glb").attribute("POSITION")[:, 1].min()
    assert lowest == pytest.approx(0, abs=1e-7)
    rigged = Gltf(tmp_path / "rigged.glb").skinned()
    np.testing.assert_allclose(rigged, standing.vertices, atol=1e-5)


def moved_to(person, place):
    """The person elsewhere before its camera."""
    camera = PerspectiveCamera(person.camera.focal, person.camera.centre, torch.tensor(place))
    points = torch.cat([camera.project(person.vertices), torch.ones(6890, 1)], dim=1)
    low, high = points[:, :2].amin(0), points[:, :2].amax(0)
    corners = torch.tensor([[0.0, 0], [1, 1]] * 6)
    limbs = torch.cat([low + corners * (high - low), torch.ones(12, 1)], dim=1)
    fields = {**vars(person), "camera": camera, "keypoints": limbs}
    return type(person)(**fields)


def extent(covered):
    rows, columns = covered.any(1).nonzero()[0], covered.any(0).nonzero()[0]
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_the_overlay_agrees_with_the_camera(person):
    one = moved_to(person, [0.1, 0.0, 4.0])
    drawn = np.asarray(one.overlay())
    assert drawn.shape == (PANEL_SIZE, 4 * PANEL_SIZE, 3)
    panel = drawn[:, PANEL_SIZE : 2 * PANEL_SIZE]
    points = to_crop(seen_by(one), *person_box(one.keypoints))
    points = ((points + 1) * PANEL_SIZE / 2).numpy()
    # Grey clay and a coloured skeleton on green or black: red tells the body.
    covered = panel[..., 0] > 25
    expected = [*points.min(0), *points.max(0)]
    np.testing.assert_allclose(extent(covered), expected, atol=4)
    column, row = np.clip(points.astype(int), 0, PANEL_SIZE - 1).T
    assert covered[row, column].mean() > 0.95


def seen_by(person):
    moved = person.vertices + person.camera.place
    return person.camera.focal * moved[:, :2] / moved[:, 2:] + person.camera.centre


def test_all_people_in_one_picture(person):
    near, far = moved_to(person, [-0.5, 0.0, 4.0]), moved_to(person, [1.5, 0.2, 8.0])
    drawn = np.asarray(overlay_people([near, far]))
    assert drawn.shape == (240, 320, 3)
    for one, half in ((near, slice(0, 190)), (far, slice(190, 320))):
        points = seen_by(one).numpy()
        box = extent(drawn[:, half, 0] > 60)
        expected = np.array([*points.min(0), *points.max(0)])
        np.testing.assert_allclose(box, expected - [half.start, 0, half.start, 0], atol=2)


def test_the_overlay_of_a_large_picture_is_shrunk(person):
    large = Image.new("RGB", (3200, 2400), GREEN)
    camera = PerspectiveCamera(
        10 * person.camera.focal, 10 * person.camera.centre, torch.tensor([0.0, 0, 5])
    )
    one = type(person)(**{**vars(person), "picture": large, "camera": camera})
    drawn = np.asarray(overlay_people([one]))
    assert drawn.shape == (MAX_SIDE * 3 // 4, MAX_SIDE, 3)
    points = seen_by(one).numpy() * MAX_SIDE / 3200
    np.testing.assert_allclose(extent(drawn[..., 0] > 60), [*points.min(0), *points.max(0)], atol=2)


def test_no_folder_to_write_to(person, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "out", "a\0b"):
        with pytest.raises(InputError, match="cannot be written"):
            person.save(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_disk_that_is_full(person, tmp_path, name):
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(InputError, match="No space left on device"):
        person.save(tmp_path)
