"""Videos that are written: what is in them, and how they go on."""

import pytest
from videos import TIMES, mark_of, marked, read

from bilayer_graph.errors import InputError
from bilayer_graph.video import VideoWriter
from bilayer_graph.video.writing import count_frames


def write(path, numbers, size=(64, 48), **options):
    writer = VideoWriter(path, size, **options)
    for number in numbers:
        writer.add(marked(number, size), TIMES[number])
    return writer


def test_frames_come_back_at_their_times(tmp_path):
    write(tmp_path / "a.mp4", range(8)).close()
    frames = read(tmp_path / "a.mp4")
    assert [mark_of(frame.picture) for frame in frames] == list(range(8))
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-4)


def test_a_video_goes_on_after_the_frames_that_stay(tmp_path):
    path = tmp_path / "a.mp4"
    write(path, range(6)).close()
    assert count_frames(path) == 6
    write(path, range(4, 8), keep=4).close()
    frames = read(path)
    assert [mark_of(frame.picture) for frame in frames] == list(range(8))
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_what_is_written_can_be_read_without_an_end(tmp_path):
    """Up to the last key frame: all but the frames of the last second."""
    path = tmp_path / "a.mp4"
    writer = VideoWriter(path, (64, 48))
    for number in range(60):
        writer.add(marked(number % 8), number / 25)
    content = path.read_bytes()
    writer.close()
    path.write_bytes(content)
    assert 25 <= count_frames(path) < 60


def test_odd_sizes_lose_a_row_and_other_sizes_are_fitted(tmp_path):
    writer = write(tmp_path / "a.mp4", range(2), size=(65, 49))
    writer.add(marked(2, (130, 98)), TIMES[2])
    writer.close()
    frames = read(tmp_path / "a.mp4")
    assert [frame.picture.size for frame in frames] == [(64, 48)] * 3


def test_a_disk_that_is_full(tmp_path):
    (tmp_path / "a.mp4").symlink_to("/dev/full")
    with pytest.raises(InputError, match="No space left on device"):
        write(tmp_path / "a.mp4", range(8)).close()


def test_files_that_are_no_videos_have_no_frames(tmp_path):
    (tmp_path / "a.mp4").write_text("no")
    assert count_frames(tmp_path / "a.mp4") == count_frames(tmp_path / "no.mp4") == 0
