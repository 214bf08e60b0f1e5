"""`bilayer-graph recover --video`: a video in, tracks and an overlay out."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from predictors import someone, tiny_model
from videos import TIMES, read, write_sound, write_video

from bilayer_graph.cli import recover_video
from bilayer_graph.cli.main import main
from bilayer_graph.models import save_model
from bilayer_graph.video import Track, Tracker
from bilayer_graph.video.following import Follower
from bilayer_graph.video.writing import count_frames

SIZE = (320, 240)
TRACK = {"track_0.npz", "track_0.glb", "track_0.bvh", "track_0_amass.npz"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(tiny_model(), path)
    return path


class Fake(torch.nn.Module):
    """Finds somebody who walks, from the fifth frame on two of them, and nobody in the third."""

    def forward(self, image):
        number = round(float((image[0, 2] > 0.5).sum()) / 4) - 1
        people = [someone(0.9, 3.0 * number), someone(0.8, -60.0)]
        return [] if number == 2 else people[: 2 if number >= 4 else 1]


@pytest.fixture
def call(monkeypatch, tmp_path, weights, capsys):
    """Run the command; return its exit status, what it wrote to stdout and to stderr."""
    monkeypatch.setattr("bilayer_graph.predict.MoveNetDetector.load", Fake)

    def run(*words, out=tmp_path / "out"):
        options = ["--out", out, "--weights", weights, "--device", "cpu"]
        status = main(["recover", *map(str, [*options, *words])])
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "walk.mp4", size=SIZE)


def names(folder):
    return {path.name for path in folder.iterdir()}


def index(folder):
    return json.loads((folder / "video.json").read_text())


def said(errors):
    """Lines on stderr without the progress bar."""
    lines = errors.replace("\r", "\n").splitlines()
    return [line for line in lines if line.strip() and not re.search(r"\d+/\d+ \[", line)]


def test_a_video(call, video, tmp_path):
    status, printed, errors = call("--video", video)
    assert (status, said(errors)) == (0, [])
    assert printed.startswith(f"2 people in 8 frames recovered into {tmp_path}/out, ")
    assert "frames and" in printed
    assert "8/8" in errors
    out = tmp_path / "out"
    others = {name.replace("0", "1") for name in TRACK}
    assert names(out) == {*TRACK, *others, "overlay.mp4", "video.json"}
    assert index(out)["complete"]
    assert index(out)["people"] == [
        {"name": "track_0", "frames": 7, "first": 0, "last": 7},
        {"name": "track_1", "frames": 4, "first": 4, "last": 7},
    ]
    track = Track.load(out / "track_0.npz")
    assert track.frames.tolist() == [0, 1, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(track.times, np.array(TIMES)[track.frames], atol=1e-3)
    steps = np.diff(track.keypoints[:, :, 0].mean(1)) / np.diff(track.frames)
    np.testing.assert_allclose(steps, 3, atol=1e-3)


def test_the_overlay_has_the_frames_and_their_times(call, video, tmp_path):
    call("--video", video)
    frames, source = read(tmp_path / "out/overlay.mp4"), read(video)
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-3)
    changed = [
        float((np.asarray(a.picture).astype(int) - np.asarray(b.picture)).__abs__().mean())
        for a, b in zip(frames, source, strict=True)
    ]
    assert changed[2] < 3  # nobody is in it
    assert min(changed[:2] + changed[3:]) > 2 * changed[2]


def test_turned_videos_have_upright_overlays(call, tmp_path):
    video = write_video(tmp_path / "a.mp4", size=SIZE, rotation=90)
    call("--video", video, out=tmp_path / "out")
    assert {frame.picture.size for frame in read(tmp_path / "out/overlay.mp4")} == {(240, 320)}


def test_meshes_without_an_overlay_on_the_floor(call, video, tmp_path):
    assert call("--video", video, "--no-overlay", "--meshes", "--floor")[0] == 0
    out = tmp_path / "out"
    assert "overlay.mp4" not in names(out)
    assert names(out / "track_0") == {f"{n:06d}.glb" for n in (0, 1, 3, 4, 5, 6, 7)}
    assert names(out / "track_1") == {f"{n:06d}.glb" for n in (4, 5, 6, 7)}


def interrupt_at(monkeypatch, number):
    """Press Ctrl-C while the people of a frame are recovered."""
    recover = Follower.recover

    def interrupted(self, found):
        if found[0].number == number:
            raise KeyboardInterrupt
        return recover(self, found)

    monkeypatch.setattr(Follower, "recover", interrupted)
    return recover


@pytest.mark.parametrize("smooth", [[], ["--smooth"]])
def test_resume_goes_on_as_if_nothing_had_happened(call, video, tmp_path, monkeypatch, smooth):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    call("--video", video, *smooth, out=whole)
    recover = interrupt_at(monkeypatch, 5)
    status, printed, errors = call("--video", video, *smooth, out=broken)
    assert (status, printed) == (130, "")
    assert said(errors) == ["interrupted: 5 frames done; --resume goes on"]
    # What was done is there, and can be used.
    assert not index(broken)["complete"]
    assert Track.load(broken / "track_0.npz").frames.tolist() == [0, 1, 3, 4]
    assert count_frames(broken / "overlay.mp4") == 5
    monkeypatch.setattr(Follower, "recover", recover)
    seen = []
    monkeypatch.setattr(
        Fake, "forward", lambda self, image, f=Fake.forward: (seen.append(1), f(self, image))[1]
    )
    status, printed, _ = call("--video", video, *smooth, "--resume", out=broken)
    assert status == 0
    assert printed.startswith(f"2 people in 8 frames recovered into {broken}")
    assert len(seen) == 3
    assert names(broken) == names(whole)
    for name in ("track_0.npz", "track_1.npz"):
        one, other = np.load(whole / name), np.load(broken / name)
        for key in one.files:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)
    one, other = read(whole / "overlay.mp4"), read(broken / "overlay.mp4")
    assert [frame.time for frame in one] == [frame.time for frame in other]
    for frame, same in zip(one, other, strict=True):
        apart = np.asarray(frame.picture).astype(int) - np.asarray(same.picture)
        assert np.abs(apart).mean() < 1.5
    status, printed, _ = call("--video", video, *smooth, "--resume", out=broken)
    assert (status, printed) == (0, f"{video} is finished already\n")


def test_resume_does_what_the_overlay_lacks_again(call, video, tmp_path, monkeypatch):
    recover = interrupt_at(monkeypatch, 6)
    call("--video", video)
    monkeypatch.setattr(Follower, "recover", recover)
    (tmp_path / "out/overlay.mp4").unlink()  # as if the power had gone
    assert call("--video", video, "--resume")[0] == 0
    assert count_frames(tmp_path / "out/overlay.mp4") == 8
    assert Track.load(tmp_path / "out/track_0.npz").frames.tolist() == [0, 1, 3, 4, 5, 6, 7]


def test_resume_with_other_settings_is_refused(call, video, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 3)
    call("--video", video)
    for words in (["--fov", "60"], ["--smooth"], ["--video", shutil.copy(video, tmp_path)]):
        status, _, errors = call("--video", video, "--resume", *words)
        assert status == 2
        assert "was begun with" in errors


def test_results_of_an_earlier_run_do_not_stay(call, video, tmp_path, monkeypatch):
    out = tmp_path / "out"
    call("--video", video, "--meshes")
    (out / "mine.npz").write_text("")
    monkeypatch.setattr(Fake, "forward", lambda self, image: [someone()])
    call("--video", video, "--no-overlay")
    assert names(out) == {*TRACK, "video.json", "mine.npz", "track_0", "track_1"}
    assert not names(out / "track_0") | names(out / "track_1")


def test_a_video_that_breaks_off(call, tmp_path):
    path = write_video(tmp_path / "a.mp4", np.arange(60) / 25, size=SIZE, movflags="faststart")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    status, printed, errors = call("--video", path)
    assert status == 1
    (line,) = said(errors)
    assert line.startswith(f"failed: video={path}: breaks off after ")
    assert "people in" in printed
    done = index(tmp_path / "out")
    assert done["complete"]
    assert 10 < done["people"][0]["last"] < 50


def unusable(tmp_path, video):
    (tmp_path / "text.mp4").write_text("no")
    return {
        "no video": ["--video", tmp_path / "no.mp4"],
        "text": ["--video", tmp_path / "text.mp4"],
        "sound": ["--video", write_sound(tmp_path / "sound.mp4")],
        "no camera": ["--video", "99"],
        "a camera again": ["--video", "99", "--resume"],
        "keypoints": ["--video", video, "--keypoints", tmp_path],
        "a page": ["--video", video, "--html"],
        "joints": ["--video", video, "--joints", "coco"],
        "a picture too": ["--video", video, tmp_path / "a.jpg"],
        "nothing": [],
        "smooth pictures": [tmp_path / "a.jpg", "--smooth"],
        "meshes of pictures": [tmp_path / "a.jpg", "--meshes"],
        "no device": ["--video", video, "--device", "gpu"],
        "a file as a folder": ["--video", video, "--out", tmp_path / "text.mp4"],
    }


def test_bad_input_is_one_line_before_the_model_is_loaded(call, video, tmp_path, monkeypatch):
    def load(*_, **__):
        raise AssertionError("loaded")

    monkeypatch.setattr(recover_video.Predictor, "load", load)
    for what, words in unusable(tmp_path, video).items():
        status, printed, errors = call(*words)
        assert (status, printed) == (2, ""), what
        assert errors.startswith("error: "), what
        assert errors.count("\n") == 1, what


def test_nobody_in_the_video(call, video, tmp_path, monkeypatch):
    monkeypatch.setattr(Fake, "forward", lambda self, image: [])
    status, _, errors = call("--video", video)
    assert status == 2
    assert "nobody found in it" in errors


@pytest.mark.parametrize("name", ["overlay.mp4", "frames.bin", "video.json.partial", "track_0.npz"])
def test_a_disk_that_is_full(call, video, tmp_path, name, monkeypatch):
    (tmp_path / "out").mkdir()
    real = Tracker.__call__

    def fill(self, *arguments):
        if not (tmp_path / "out" / name).is_symlink():
            (tmp_path / "out" / name).unlink(missing_ok=True)
            (tmp_path / "out" / name).symlink_to("/dev/full")
        return real(self, *arguments)

    monkeypatch.setattr(Tracker, "__call__", fill)
    status, printed, errors = call("--video", video)
    assert (status, printed) == (2, "")
    assert "No space left on device" in said(errors)[-1]
    assert len(said(errors)) == 1
    assert not index(tmp_path / "out")["complete"]


def test_frames_that_fail_are_counted(call, video, monkeypatch):
    find = Fake.forward

    def failing(self, image):
        people = find(self, image)
        if len(people) == 2:
            raise RuntimeError("no")
        return people

    monkeypatch.setattr(Fake, "forward", failing)
    status, printed, errors = call("--video", video)
    assert status == 1
    assert printed.startswith("1 person in 8 frames")
    first, last = said(errors)
    assert first.startswith("failed: frame 4, maybe others: detector=Fake: fails")
    assert last == "4 of the frames failed"


def test_a_camera_is_ended_by_ctrl_c(call, video, tmp_path, monkeypatch):
    class Camera(recover_video.VideoReader):
        def __init__(self, source):
            super().__init__(video)
            self.is_camera = True

    monkeypatch.setattr(recover_video, "VideoReader", Camera)
    interrupt_at(monkeypatch, 4)
    status, printed, errors = call("--video", "0")
    assert (status, said(errors)) == (0, [])
    assert printed.startswith("1 person in 4 frames")
    assert index(tmp_path / "out")["complete"]
