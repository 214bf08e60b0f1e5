import argparse
import json
import shutil

import numpy as np
import pytest
import torch
import trimesh
from example_scripts import load_script, write_coco
from PIL import Image

from bilayer_graph.body import axis_angle_to_matrix, project
from bilayer_graph.body.body_file import BUILTIN_BODY
from bilayer_graph.pictures import to_pixels

script = load_script("recover_mesh")


@pytest.fixture
def run(monkeypatch, tmp_path, weights, capsys):
    """Run the script; return its exit status, what it wrote to stdout and to stderr."""

    def call(*arguments):
        out = ["--out", tmp_path / "out", "--weights", weights]
        words = ["recover_mesh.py", *out, *arguments]  # a later --weights wins
        monkeypatch.setattr("sys.argv", [str(word) for word in words])
        status = script.main()
        return status, *capsys.readouterr()

    return call


def test_one_picture(run, photo, tmp_path, body):
    status, printed, _ = run("--image", photo)
    assert status == 0
    assert "1 person recovered" in printed
    prediction = np.load(tmp_path / "out" / "prediction.npz")
    shapes = {name: prediction[name].shape for name in prediction.files}
    assert shapes == {
        "vertices": (6890, 3),
        "vertices_1723": (1723, 3),
        "vertices_431": (431, 3),
        "joints": (12, 3),
        "body_pose": (23, 3),
        "global_orient": (3,),
        "betas": (10,),
        "camera": (3,),
        "smpl_vertices": (6890, 3),
        "crop": (3,),
    }
    posed = body(
        torch.tensor(prediction["betas"])[None],
        axis_angle_to_matrix(torch.tensor(prediction["body_pose"]))[None],
        axis_angle_to_matrix(torch.tensor(prediction["global_orient"]))[None],
    )
    np.testing.assert_allclose(posed.vertices[0], prediction["smpl_vertices"], atol=1e-5)
    for name in ("mesh.glb", "mesh.obj"):
        mesh = trimesh.load(tmp_path / "out" / name, force="mesh", process=False)
        expected = prediction["vertices"] * [1, -1, -1]
        np.testing.assert_allclose(mesh.vertices, expected, atol=1e-5)
        assert mesh.faces.shape == (13776, 3)
    assert Image.open(tmp_path / "out" / "overlay.png").size == (4 * 384, 384)


def test_crop_and_camera_lead_back_to_the_picture(run, photo, tmp_path):
    run("--image", photo)
    prediction = np.load(tmp_path / "out" / "prediction.npz")
    points, camera = torch.tensor(prediction["joints"])[None], torch.tensor(prediction["camera"])
    x, y, side = prediction["crop"]
    expected = to_pixels(
        project(points, camera[None]), torch.tensor([[x, y]]), torch.tensor([side])
    )
    scale, shift = prediction["camera"][0], prediction["camera"][1:]
    documented = [x, y] + side / 2 * scale * (prediction["joints"][:, :2] + shift)
    np.testing.assert_allclose(documented, expected[0], rtol=1e-5, atol=1e-3)


def test_several_people_give_several_meshes(run, photo, tmp_path, pixels):
    write_coco(photo.with_suffix(".json"), [pixels, pixels * 0.5])
    status, printed, _ = run("--image", photo)
    assert status == 0
    assert "2 people recovered" in printed
    crops = [np.load(tmp_path / "out" / f"person_{i}" / "prediction.npz")["crop"] for i in (0, 1)]
    np.testing.assert_allclose(crops[1], crops[0] * 0.5, rtol=1e-5)
    assert (tmp_path / "out" / "person_1" / "mesh.glb").is_file()


def test_a_folder_is_done_in_batches_as_single_pictures_are(
    run, photo, tmp_path, monkeypatch, pixels
):
    monkeypatch.setattr(script, "BATCH_SIZE", 2)
    for name in ("a", "b"):
        shutil.copy(photo, photo.with_stem(name))
        shutil.copy(photo.with_suffix(".json"), photo.with_name(f"{name}_keypoints.json"))
    bad = photo.with_name("bad.png")
    bad.write_bytes(b"no picture")
    far = photo.with_name("far.png")
    shutil.copy(photo, far)
    np.save(far.with_suffix(".npy"), pixels + 5000)
    status, printed, errors = run("--image", photo.parent)
    assert status == 0
    assert "3 people recovered" in printed
    assert "skipped: " in errors
    assert "bad.png" in errors
    assert errors.count("skipped: ") == 2
    together = np.load(tmp_path / "out" / "b" / "prediction.npz")
    run("--image", photo)
    alone = np.load(tmp_path / "out" / "prediction.npz")
    np.testing.assert_allclose(together["vertices"], alone["vertices"], atol=1e-5)


def test_keypoints_as_npy_in_another_folder(run, photo, tmp_path, pixels):
    folder = tmp_path / "keypoints"
    folder.mkdir()
    np.save(folder / "photo.npy", pixels)
    photo.with_suffix(".json").unlink()
    assert run("--image", photo, "--keypoints", folder)[0] == 0
    assert run("--image", photo, "--keypoints", folder / "photo.npy")[0] == 0


def test_another_body_file_of_the_same_mesh(run, photo, tmp_path):
    arrays = dict(np.load(BUILTIN_BODY))
    arrays["v_template"] = arrays["v_template"] * 1.1
    np.savez(tmp_path / "tall.npz", **arrays)
    assert run("--image", photo, "--body", tmp_path / "tall.npz")[0] == 0


def _no_file(path):
    return path.with_name("none.png")


def _text(path):
    path.write_text("not a picture")
    return path


def _truncated(path):
    path.write_bytes(path.read_bytes()[:2000])
    return path


@pytest.mark.parametrize("spoil", [_no_file, _text, _truncated])
def test_bad_pictures(run, photo, spoil):
    status, _, errors = run("--image", spoil(photo), "--keypoints", photo.with_suffix(".json"))
    assert status == 2
    assert errors.startswith("error: image=")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda k: k * np.nan, "finite"),
        (lambda k: k[:11], "11"),
        (lambda k: np.concatenate([k, np.zeros((12, 1))], axis=1), "visible"),
        (lambda k: np.full((12, 2), 50.0), "box"),
    ],
    ids=["nan", "count", "invisible", "one point"],
)
@pytest.mark.filterwarnings("ignore")
def test_bad_keypoints(run, photo, pixels, spoil, says):
    path = photo.with_suffix(".npy")
    np.save(path, spoil(pixels))
    status, _, errors = run("--image", photo, "--keypoints", path)
    assert status == 2
    assert errors.startswith("error: keypoints=")
    assert says in errors


def test_no_keypoints_says_what_to_give(run, photo):
    photo.with_suffix(".json").unlink()
    status, _, errors = run("--image", photo)
    assert status == 2
    assert "--keypoints FILE" in errors


def test_bad_weights(run, photo, weights, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:100_000])
    status, _, errors = run("--image", photo, "--weights", cut)
    assert status == 2
    assert errors.startswith("error: weights=")
    assert "truncated" in errors


def test_body_file_that_lacks_a_field(run, photo, tmp_path):
    arrays = dict(np.load(BUILTIN_BODY))
    del arrays["weights"]
    np.savez(tmp_path / "body.npz", **arrays)
    status, _, errors = run("--image", photo, "--body", tmp_path / "body.npz")
    assert status == 2
    assert errors.startswith("error: body=")
    assert "weights" in errors


def test_a_folder_in_which_nothing_works(run, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"no picture")
    status, _, errors = run("--image", folder)
    assert status == 2
    assert "skipped: " in errors


def test_a_folder_that_cannot_be_made(run, photo, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, errors = run("--image", photo, "--out", tmp_path / "file" / "out")
    assert status == 2
    assert errors.startswith("error: --out=")


def find(folder, keypoints, tmp_path):
    """Names of the result folders of the people in a folder of pictures."""
    options = argparse.Namespace(image=folder, keypoints=keypoints, out=tmp_path / "out")
    return [
        str(person.out.relative_to(options.out))
        for person in script.find_people(options, 64, script.Clock())
    ]


def rows_of(photo):
    return json.loads(photo.with_suffix(".json").read_text())["annotations"]


def openpose_of(photo):
    joints = np.reshape(rows_of(photo)[0]["keypoints"], (17, 3))
    order = [0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    return {"people": [{"pose_keypoints_2d": joints[order].flatten().tolist()}]}


SHARED = {
    "results by name": (lambda p: [{**rows_of(p)[0], "image_id": "a.png"}], ["a"]),
    "results by stem": (lambda p: [{**rows_of(p)[0], "image_id": "a"}], ["a"]),
    "results by number": (lambda p: [{**rows_of(p)[0], "image_id": 12}], ["0012"]),
    "annotations": (
        lambda p: {"images": [{"id": 1, "file_name": "x/a.png"}], "annotations": rows_of(p)},
        ["a"],
    ),
    "annotations of another picture": (
        lambda p: {"images": [{"id": 1, "file_name": "c.png"}], "annotations": rows_of(p)},
        [],
    ),
    "OpenPose": (openpose_of, []),
    "one person": (lambda p: {"keypoints": rows_of(p)[0]["keypoints"]}, []),
}


@pytest.mark.parametrize("what", SHARED)
@pytest.mark.filterwarnings("ignore")
def test_one_file_gives_its_people_to_their_picture_only(photo, tmp_path, capsys, what):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png", "0012.png"):
        shutil.copy(photo, folder / name)
    content, expected = SHARED[what]
    path = tmp_path / "k.json"
    path.write_text(json.dumps(content(photo)))
    assert find(folder, path, tmp_path) == expected
    assert capsys.readouterr().err.count("skipped: ") == 3 - len(expected)
    # Given for one picture, the same file is that picture's.
    assert len(script.read_people(folder / "b.png", path, tmp_path, 64)) == 1


def test_pictures_of_one_stem_have_folders_of_their_own(photo, tmp_path, capsys):
    Image.open(photo).save(photo.with_suffix(".bmp"))
    path = photo.with_suffix(".json")
    content = json.loads(path.read_text())
    assert find(photo.parent, None, tmp_path) == ["photo.png"]
    assert "photo.bmp does not fit" in capsys.readouterr().err
    path.write_text(json.dumps({"keypoints": content["annotations"][0]["keypoints"]}))
    assert find(photo.parent, None, tmp_path) == ["photo.bmp", "photo.png"]
    assert "warning: photo.bmp is not the only picture" in capsys.readouterr().err


def test_results_have_the_numbers_of_the_file(photo, tmp_path, pixels):
    path = photo.with_suffix(".json")
    write_coco(path, [pixels, pixels * np.nan, pixels + 5000, pixels * 0.5])
    with pytest.warns(UserWarning, match=r"person 1 .* not finite.*; person 2 lies outside"):
        people = script.read_people(photo, path, tmp_path, 64)
    assert [person.out.name for person in people] == ["person_0", "person_3"]
