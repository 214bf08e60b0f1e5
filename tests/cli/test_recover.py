"""`bilayer-graph recover`: pictures and folders in, files and an exit status out."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from predictors import keypoints, picture, someone, tiny_model

from bilayer_graph.cli import recover
from bilayer_graph.cli.main import main
from bilayer_graph.cli.recover_jobs import name_folders
from bilayer_graph.models import save_model
from bilayer_graph.person import FILES, Person


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(tiny_model(), path)
    return path


class Fake(torch.nn.Module):
    """Finds one person, or nobody in the dark, or two in the light."""

    def forward(self, image):
        level = float(image.mean())
        return [someone(0.9), someone(0.8, 40.0)][: 0 if level < 0.1 else 2 if level > 0.9 else 1]


@pytest.fixture
def call(monkeypatch, tmp_path, weights, capsys):
    """Run the command; return its exit status, what it wrote to stdout and to stderr."""
    monkeypatch.setattr("bilayer_graph.predict.MoveNetDetector.load", Fake)

    def run(*words, out=tmp_path / "out"):
        options = ["--out", out, "--weights", weights, "--device", "cpu"]
        status = main(["recover", *map(str, [*options, *words])])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def photos(tmp_path):
    """A folder with pictures of one person, two people and nobody."""
    folder = tmp_path / "photos"
    folder.mkdir()
    picture().save(folder / "one.png")
    Image.new("RGB", (320, 240), "white").save(folder / "two.png")
    return folder


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def index(folder):
    return json.loads((folder / "people.json").read_text())


def centre_of(folder):
    return float(np.load(folder / "prediction.npz")["keypoints"][:, 0].mean())


def test_one_picture(call, photos, tmp_path):
    status, printed, errors = call(photos / "one.png")
    assert (status, errors) == (0, "")
    assert printed == f"1 person recovered into {tmp_path}/out\n"
    assert tree(tmp_path / "out") == sorted([*FILES, "people.json"])
    assert index(tmp_path / "out") == {
        "picture": str(photos / "one.png"),
        "people": [{"folder": ".", "index": 0, "score": 0.9, "uncertain": False}],
    }


def test_a_folder(call, photos, tmp_path):
    status, printed, errors = call(photos)
    assert status == 0
    assert "3 people recovered" in printed
    assert "2/2" in errors  # the progress bar
    out = tmp_path / "out"
    assert tree(out / "one") == sorted([*FILES, "people.json"])
    assert [row["folder"] for row in index(out / "two")["people"]] == ["person_0", "person_1"]
    with Image.open(out / "two" / "overlay.png") as drawn:
        assert drawn.size == (320, 240)
    assert centre_of(out / "two/person_1") - centre_of(out / "two/person_0") == pytest.approx(40)


def test_without_overlays_and_on_the_floor(call, photos, tmp_path):
    assert call(photos, "--no-overlay", "--floor")[0] == 0
    assert not [name for name in tree(tmp_path / "out") if name.endswith("overlay.png")]
    text = (tmp_path / "out/one/mesh.obj").read_text().splitlines()
    heights = [float(line.split()[2]) for line in text if line.startswith("v ")]
    assert min(heights) == 0


def test_pages_to_look_at(call, photos, tmp_path):
    assert call(photos, "--html", "--no-overlay")[0] == 0
    out = tmp_path / "out"
    for name, count in (("one", 1), ("two", 2)):
        page = (out / name / "people.html").read_text()
        assert page.count('"name": "Person ') == count
        assert f'"title": "{name}.png"' in page
    # A run without pages leaves none of another run.
    assert call(photos)[0] == 0
    assert not [name for name in tree(out) if name.endswith(".html")]


def test_pictures_of_one_stem_are_both_kept(call, photos, tmp_path):
    Image.open(photos / "one.png").save(photos / "one.jpg")
    Image.open(photos / "one.png").save(photos / "one.jpg.png")
    assert call(photos, "--no-overlay")[0] == 0
    for name in ("one.png", "one.jpg", "one.jpg.png", "two"):
        found = index(tmp_path / "out" / name)["picture"]
        assert found.rsplit("/", 1)[1] == (name if name != "two" else "two.png")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b.jpg"], ["a", "b"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.jpg", "A.png"], ["a.jpg", "A.png"]),
        (["a.jpg", "a.png", "a.jpg.png"], ["a.jpg", "a.png", "a.jpg.png"]),
        (["a.jpg.png", "a.jpg"], ["a.jpg.png", "a"]),
    ],
)
def test_names_of_folders(tmp_path, names, expected):
    found = name_folders([tmp_path / name for name in names], tmp_path)
    assert [path.name for path in found] == expected


def test_some_pictures_fail(call, photos, tmp_path):
    (photos / "text.jpg").write_text("not a picture")
    (photos / "line\nbreak.gif").write_text("not a picture")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    (photos / "folder.jpg").mkdir()
    Image.new("RGB", (320, 240)).save(photos / "dark.png")
    status, printed, errors = call(photos)
    assert status == 1
    assert "3 people recovered" in printed
    lines = [line for line in errors.splitlines() if line.startswith("failed: ")]
    assert len(lines) == 3
    for line, name in zip(sorted(lines), ("dark.png", r"line\nbreak.gif", "text.jpg"), strict=True):
        assert line.startswith(f"failed: {photos}/{name}: ")
    assert "3 of the pictures failed" in errors


def test_resume(call, photos, tmp_path, monkeypatch):
    call(photos, "--no-overlay")
    out = tmp_path / "out"
    # Half written, of another picture, and not even JSON.
    for name in ("three", "four", "five"):
        picture(3).save(photos / f"{name}.png")
        shutil.copytree(out / "one", out / name)
    (out / "three/people.json").unlink()
    (out / "five/people.json").write_text('{"picture": ')
    done = []
    monkeypatch.setattr(Person, "save", lambda self, folder, **_: done.append(folder))
    status, printed, _ = call(photos, "--no-overlay", "--resume")
    assert status == 0
    assert "2 of 5 pictures are finished already" in printed
    assert sorted(folder.name for folder in done) == ["five", "four", "three"]
    assert index(out / "five")["picture"] == str(photos / "five.png")
    assert call(photos, "--resume")[1].startswith("5 of 5 pictures are finished already\n0 people")


def test_results_of_an_earlier_run_do_not_stay(call, photos, tmp_path):
    out = tmp_path / "out"
    call(photos / "two.png")
    (out / "mine.txt").write_text("")
    assert "person_1/mesh.glb" in tree(out)
    call(photos / "one.png", "--no-overlay")
    assert tree(out) == sorted([*FILES[:-1], "people.json", "mine.txt"])


@pytest.mark.parametrize(
    "rows", ['[{"folder": "../mine"}]', '[{"folder": 3}]', "[1]", "{}", "5", '[{"a": [[[]]]}]']
)
def test_a_strange_index_deletes_nothing(call, photos, tmp_path, rows):
    out = tmp_path / "out"
    for folder in (out, tmp_path / "mine"):
        folder.mkdir()
        (folder / "mesh.glb").write_text("")
    (out / "people.json").write_text(f'{{"picture": "x", "people": {rows}}}')
    assert call(photos / "one.png", "--no-overlay")[0] == 0
    assert (tmp_path / "mine/mesh.glb").exists()
    assert len(index(out)["people"]) == 1


def test_an_interruption_leaves_one_line_and_what_is_done(call, photos, tmp_path, monkeypatch):
    save = Person.save

    def interrupted(self, folder, **options):
        if folder.parent.name == "two":
            raise KeyboardInterrupt
        save(self, folder, **options)

    monkeypatch.setattr(Person, "save", interrupted)
    status, printed, errors = call(photos)
    assert status == 130
    assert printed == ""
    assert errors.splitlines()[-1] == "interrupted: 1 of 2 pictures done; --resume goes on"
    assert "Traceback" not in errors
    assert len(index(tmp_path / "out" / "one")["people"]) == 1
    monkeypatch.setattr(Person, "save", save)
    assert "1 of 2 pictures are finished already" in call(photos, "--resume")[1]
    assert len(index(tmp_path / "out" / "two")["people"]) == 2


@pytest.mark.parametrize(
    ("stop", "status", "last"),
    [
        (KeyboardInterrupt(), 130, "interrupted: 2 of 3 pictures done; --resume goes on"),
        (OSError(28, "No space left on device"), 2, "error: folder="),
    ],
)
def test_a_stop_says_what_is_done_and_what_failed(
    call, photos, tmp_path, monkeypatch, stop, status, last
):
    Image.new("RGB", (320, 240)).save(photos / "dark.png")
    write = np.savez

    def full(path, **arrays):
        if path.parent.name == "person_1":
            raise stop
        write(path, **arrays)

    monkeypatch.setattr(np, "savez", full)
    found, printed, errors = call(photos, "--no-overlay")
    assert (found, printed) == (status, "")
    assert f"failed: {photos}/dark.png: image=" in errors
    assert ": 2 of 3 pictures done; --resume goes on" in errors
    assert errors.splitlines()[-1].startswith(last)
    assert index(tmp_path / "out/one")
    assert not (tmp_path / "out/two/people.json").exists()


@pytest.mark.parametrize("place", ["anim.gif", "."])
def test_an_animation_is_said_once(call, tmp_path, place):
    folder = tmp_path / "moving"
    folder.mkdir()
    picture().save(folder / "anim.gif", save_all=True, append_images=[picture(1)])
    status, _, errors = call(folder / place, "--no-overlay")
    assert status == 0
    assert errors.count("anim.gif: several pictures in one; the first is taken") == 1


def coco(path, **people):
    """COCO JSON with the people of pictures, by the name of the picture without .png."""
    images = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(people)]
    rows = [
        {"image_id": i, "keypoints": np.asarray(person).flatten().tolist()}
        for i, some in enumerate(people.values())
        for person in some
    ]
    path.write_text(json.dumps({"images": images, "annotations": rows}))
    return path


def moved(shift):
    return keypoints() + torch.tensor([shift, 0.0, 0.0])


def test_one_file_for_a_folder(call, photos, tmp_path):
    nan = keypoints() * torch.nan
    file = coco(tmp_path / "k.json", two=[moved(8), nan, moved(16)], one=[moved(-8)], other=[nan])
    status, printed, errors = call(photos, "--no-overlay", "--keypoints", file)
    assert status == 0
    assert "3 people" in printed
    assert "warning: keypoints=" in errors
    assert "left out of two.png: person 1 has a value that is not finite" in errors
    out, middle = tmp_path / "out", float(keypoints()[:, 0].mean())
    assert centre_of(out / "one") == pytest.approx(middle - 8, abs=1e-3)
    # Named by their rows in the file.
    rows = index(out / "two")["people"]
    assert [(row["folder"], row["index"]) for row in rows] == [("person_0", 0), ("person_2", 2)]
    assert centre_of(out / "two/person_2") == pytest.approx(middle + 16, abs=1e-3)


def test_a_file_gives_its_people_to_their_picture_only(call, photos, tmp_path):
    file = coco(tmp_path / "k.json", one=[keypoints()])
    status, _, errors = call(photos, "--no-overlay", "--keypoints", file)
    assert status == 1
    assert f"failed: {photos}/two.png: keypoints=" in errors
    assert index(tmp_path / "out/one")
    assert not (tmp_path / "out/two").exists()
    np.save(tmp_path / "k.npy", keypoints().numpy())
    status, _, errors = call(photos, "--keypoints", tmp_path / "k.npy")
    assert status == 2
    assert "of one picture only" in errors


def test_a_folder_of_files(call, photos, tmp_path):
    folder = tmp_path / "keypoints"
    folder.mkdir()
    np.save(folder / "one.npy", moved(8).numpy())
    status, _, errors = call(photos, "--no-overlay", "--keypoints", folder)
    assert status == 1
    assert "has no two.json, two.npy, two.txt, two_keypoints.json" in errors
    # A name that two pictures share says nothing, unless the file does.
    Image.open(photos / "one.png").save(photos / "one.jpg")
    status, _, errors = call(photos, "--no-overlay", "--keypoints", folder)
    assert errors.count("failed: ") == 3
    assert "could be of one.jpg or of another one" in errors
    coco(folder / "one.json", one=[moved(8)])
    np.save(folder / "one.jpg.npy", moved(-8).numpy())
    assert "2 people" in call(photos, "--no-overlay", "--keypoints", folder)[1]
    out = tmp_path / "out"
    assert centre_of(out / "one.png") - centre_of(out / "one.jpg") == pytest.approx(16, abs=1e-3)


def test_joints_that_no_file_names(call, photos, tmp_path, capsys):
    folder = tmp_path / "keypoints"
    folder.mkdir()
    for name, by in (("one", 8), ("two", -8)):
        np.save(folder / f"{name}.npy", np.concatenate([moved(by), np.zeros((9, 3))]))
    words = [photos, "--no-overlay", "--keypoints", folder]
    status, _, errors = call(*words)
    assert status == 1
    assert errors.count("has 26 joints, expected 12 or 17") == 2
    assert "--joints halpe26" in errors
    assert call(*words, "--joints", "halpe26")[0] == 0
    out = tmp_path / "out"
    assert centre_of(out / "one") - centre_of(out / "two") == pytest.approx(16, abs=1e-3)
    one = [photos / "one.png", "--joints", "halpe26"]
    assert call(*one, "--keypoints", folder)[0] == 0
    status, _, errors = call(*one)
    assert status == 2
    assert "--joints=halpe26: no keypoints are given" in errors
    with pytest.raises(SystemExit, match="2"):
        call(*words, "--joints", "smpl")
    assert "invalid choice: 'smpl' (choose from " in capsys.readouterr().err


def test_label_lines_of_yolo(call, photos, tmp_path):
    people = np.array([moved(8).numpy(), moved(-8).numpy()])
    with Image.open(photos / "one.png") as picture:
        people[..., :2] /= picture.size
    lines = [" ".join(map(str, [0, 0.5, 0.5, 0.2, 0.4, *person.flatten()])) for person in people]
    (tmp_path / "one.txt").write_text("\n".join(lines))
    status, printed, errors = call(photos / "one.png", "--keypoints", tmp_path, "--no-overlay")
    assert (status, printed[:8]) == (0, "2 people")
    assert "shares of the picture's size" in errors
    first, second = (centre_of(tmp_path / f"out/person_{i}") for i in (0, 1))
    assert first - second == pytest.approx(16, abs=1e-3)


def test_keypoints_of_one_picture_need_no_detector(call, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("bilayer_graph.predict.MoveNetDetector.load", None)
    file = coco(tmp_path / "k.json", something=[moved(8)])
    status, _, errors = call(photos / "one.png", "--keypoints", file)
    assert status == 0
    assert "taken for one.png" in errors  # the only picture of the file has another name
    np.save(tmp_path / "k.npy", np.stack([moved(8), moved(16)]))
    assert call(photos / "one.png", "--keypoints", tmp_path / "k.npy")[1].startswith("2 people")


def unusable(tmp_path, photos):
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "nan.npy", keypoints() * torch.nan)
    one = photos / "one.png"
    return {
        "no picture": [tmp_path / "no.png"],
        "a long name": ["x" * 400],
        "an empty folder": [tmp_path / "empty"],
        "no keypoints": [one, "--keypoints", tmp_path / "no.json"],
        "no JSON": [one, "--keypoints", tmp_path / "text.json"],
        "nan": [one, "--keypoints", tmp_path / "nan.npy"],
        "none of this picture": [one, "--keypoints", tmp_path / "empty"],
        "for a folder": [photos, "--keypoints", tmp_path / "text.json"],
        "no device": [one, "--device", "gpu"],
        "a file as a folder": [one, "--out", one],
    }


def test_bad_input_is_one_line_before_the_model_is_loaded(call, photos, tmp_path, monkeypatch):
    def load(*_, **__):
        raise AssertionError("loaded")

    monkeypatch.setattr(recover.Predictor, "load", load)
    for what, words in unusable(tmp_path, photos).items():
        status, printed, errors = call(*words)
        assert (status, printed) == (2, ""), what
        assert errors.startswith("error: "), what
        assert errors.count("\n") == 1, what


@pytest.mark.parametrize("degrees", ["0", "171", "nan", "wide"])
def test_bad_fields_of_view(call, photos, degrees, capsys):
    with pytest.raises(SystemExit, match="2"):
        call(photos, "--fov", degrees)
    assert "argument --fov" in capsys.readouterr().err


def test_nobody_in_the_only_picture(call, tmp_path):
    Image.new("RGB", (320, 240)).save(tmp_path / "dark.png")
    status, printed, errors = call(tmp_path / "dark.png")
    assert (status, printed) == (2, "")
    assert errors.startswith("error: image=")
    assert "nobody found" in errors


@pytest.mark.parametrize("name", [*FILES, "people.html", "people.json.partial"])
def test_a_disk_that_is_full(call, photos, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to("/dev/full")
    status, printed, errors = call(photos / "one.png", "--html")
    assert (status, printed) == (2, "")
    assert "No space left on device" in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out/people.json").exists()


def test_a_guess_is_named(call, photos, monkeypatch):
    monkeypatch.setattr(Fake, "forward", lambda self, image: [someone(0.1, uncertain=True)])
    _, _, errors = call(photos / "one.png", "--no-overlay")
    assert "one.png: a guess" in errors


def test_one_person_without_limbs_is_left_out(call, photos, tmp_path, monkeypatch):
    face = keypoints().clone()
    face[5:, 2] = 0.0
    people = [someone(), someone(keypoints=face)]
    monkeypatch.setattr(Fake, "forward", lambda self, image: people)
    status, _, errors = call(photos / "one.png", "--no-overlay")
    assert status == 0
    assert "person 1 has all limb joints invisible" in errors
    assert len(index(tmp_path / "out")["people"]) == 1
