"""Frames, times and turns of videos, and what is no video."""

import builtins
import itertools
import re
import sys

import numpy as np
import pytest
from videos import TIMES, mark_of, marked, read, write_sound, write_video

from bilayer_graph.errors import InputError
from bilayer_graph.video import VideoReader, reading


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_frames_come_in_order_at_the_times_of_the_file(tmp_path, name):
    frames = read(write_video(tmp_path / name))
    assert [frame.number for frame in frames] == list(range(len(TIMES)))
    assert [mark_of(frame.picture) for frame in frames] == list(range(len(TIMES)))
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-3)
    assert {frame.picture.size for frame in frames} == {(64, 48)}


def test_times_start_at_the_first_frame(tmp_path):
    frames = read(write_video(tmp_path / "a.mkv", [5 + time for time in TIMES]))
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-3)


def test_times_that_go_back_or_are_missing(tmp_path):
    twice, bare = write_video(tmp_path / "a.ts"), write_video(tmp_path / "a.h264")
    twice.write_bytes(2 * twice.read_bytes())
    again = [TIMES[-1] + number / 25 for number in range(1, len(TIMES) + 1)]
    assert [frame.time for frame in read(twice)] == pytest.approx([*TIMES, *again], abs=1e-3)
    expected = [number / 25 for number in range(len(TIMES))]
    assert [frame.time for frame in read(bare)] == pytest.approx(expected)


def test_the_number_of_frames(tmp_path):
    with VideoReader(write_video(tmp_path / "a.mp4")) as reader:
        assert reader.count == len(TIMES)
    with VideoReader(write_video(tmp_path / "a.mkv")) as reader:
        assert reader.count is None


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_stored_turns_are_undone(tmp_path, degrees):
    path = write_video(tmp_path / "a.mp4", rotation=degrees)
    picture = read(path)[3].picture
    # The tag asks for a turn counter-clockwise, and so does NumPy.
    expected = np.rot90(np.asarray(marked(3)), degrees // 90)
    assert picture.size == (expected.shape[1], expected.shape[0])
    assert np.abs(np.asarray(picture).astype(int) - expected).mean() < 8


def test_a_picture_is_a_video_of_one_frame(tmp_path):
    marked(3).save(tmp_path / "a.png")
    assert [mark_of(frame.picture) for frame in read(tmp_path / "a.png")] == [3]


def test_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    (tmp_path / "text.txt").write_text("no video\n" * 1000)
    (tmp_path / "empty.mp4").write_text("")
    problems = {
        "no.mp4": "no such file",
        "x" * 400: "no such file",
        ".": "a folder",
        "text.mp4": "not a readable video",
        "text.txt": "not a",
        "empty.mp4": "not a readable video",
        write_sound(tmp_path / "sound.mp4").name: "has no pictures",
    }
    for name, problem in problems.items():
        with pytest.raises(InputError, match=problem) as caught:
            VideoReader(tmp_path / name)
        assert "\n" not in str(caught.value)


def read_until_an_error(path):
    frames = []
    try:
        with VideoReader(path) as reader:
            for frame in reader:
                frames.append(frame)
    except InputError as error:
        return frames, error
    return frames, None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
def test_a_video_that_breaks_off(tmp_path, name):
    """All that can be read comes, then an error that says how much is missing."""
    kinds = {"a.mp4": {"movflags": "faststart"}, "a.avi": {"codec": "mpeg4", "ticks": 25}}
    times = np.arange(100) / 25
    path = write_video(tmp_path / name, times, size=(416, 64), **kinds.get(name, {}))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    frames, error = read_until_an_error(path)
    # A stream has no end that could be missing.
    assert name == "a.ts" or re.search(r"breaks off|cannot be read", str(error))
    assert 30 < len(frames) < 90
    assert [mark_of(frame.picture) for frame in frames] == list(range(len(frames)))


def test_nothing_to_read(tmp_path):
    path = write_video(tmp_path / "a.mp4", movflags="faststart")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 8])
    with pytest.raises(InputError, match="not one frame"):
        read(path)


def test_no_camera():
    with pytest.raises(InputError, match="video=99: no such camera"):
        VideoReader(99)


def test_a_camera_gives_frames_without_an_end(monkeypatch):
    """FFmpeg's source of moving pictures, `testsrc2`, stands in for the system's cameras."""
    source = "testsrc{}=size=64x48:rate=10,setpts=PTS+1000/TB"
    monkeypatch.setitem(reading._CAMERAS, sys.platform, ("lavfi", source))
    with VideoReader(2) as camera:
        assert camera.is_camera
        assert camera.count is None
        frames = list(itertools.islice(camera, 30))
    assert [frame.number for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(30)])
    assert (np.asarray(frames[0].picture) != np.asarray(frames[29].picture)).any()


def test_systems_without_cameras(monkeypatch):
    monkeypatch.delitem(reading._CAMERAS, sys.platform, raising=False)
    with pytest.raises(InputError, match="video=0: no cameras on"):
        VideoReader(0)


def test_without_the_library(tmp_path, monkeypatch):
    real = builtins.__import__

    def no_av(name, *rest):
        if name == "av":
            raise ImportError("No module named 'av'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_av)
    with pytest.raises(InputError, match=r'pip install "bilayer_graph\[video\]"'):
        VideoReader(tmp_path / "a.mp4")
