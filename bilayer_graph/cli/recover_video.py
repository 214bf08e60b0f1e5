"""Recover a video: frame by frame, and one file a person at the end."""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from bilayer_graph.cli.messages import say
from bilayer_graph.cli.recover_files import make_folder
from bilayer_graph.cli.video_files import VideoFiles
from bilayer_graph.errors import InputError, one_line
from bilayer_graph.predict import Predictor, choose_device
from bilayer_graph.video import FramePeople, Smoother, VideoFrame, VideoReader


class _Tally:
    """What this run has done."""

    frames = people = failed = 0
    error: InputError | None = None


def run(arguments: argparse.Namespace) -> int:
    """Recover the people of a video and write them; return the exit status."""
    choose_device(arguments.device)
    source = int(arguments.video) if arguments.video.isdecimal() else Path(arguments.video)
    if arguments.resume and isinstance(source, int):
        raise InputError("--resume", source, "a camera cannot be gone back to", "Leave it out")
    with VideoReader(source) as reader:
        make_folder(arguments.out)
        files = VideoFiles(arguments.out, _settings(arguments, source), not arguments.no_overlay)
        done = files.resume() if arguments.resume else files.begin()
        if done is None:
            print(one_line(f"{source} is finished already"))
            return 0
        return _run(arguments, reader, files, done)


def _settings(arguments: argparse.Namespace, source: Path | int) -> dict[str, object]:
    """Return what the results depend on: to resume with other settings would mix them."""
    names = ("fov", "smooth", "no_overlay", "meshes", "floor")
    video = source if isinstance(source, int) else os.path.abspath(source)
    files = {name: _absolute(getattr(arguments, name)) for name in ("weights", "body")}
    return {"video": video, **{name: getattr(arguments, name) for name in names}, **files}


def _absolute(path: Path | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def _run(arguments: argparse.Namespace, reader: VideoReader, files: VideoFiles, done: int) -> int:
    predictor = Predictor.load(
        arguments.weights, arguments.body, arguments.device, field_of_view=arguments.fov
    )
    follower = predictor.follow()
    smoother = Smoother(predictor.body) if arguments.smooth else None
    files.recall(follower, smoother)
    tally, start = _Tally(), time.perf_counter()
    try:
        frames = follower.follow(_frames(reader, done, tally))
        # Closed first of all: a thread reads ahead.
        with tqdm(total=reader.count, initial=done, unit="frame") as bar, closing(frames):
            for frame in frames:
                _write(frame, smoother, files, arguments, tally)
                bar.update()
    except KeyboardInterrupt:
        seconds = time.perf_counter() - start
        # A camera has no other end.
        people = files.finish(predictor.body, arguments.smooth, complete=reader.is_camera)
        if not reader.is_camera:
            say(f"interrupted: {done + tally.frames} frames done; --resume goes on")
            return 130
    except InputError:
        files.close()
        raise
    else:
        seconds = time.perf_counter() - start
        if tally.error is not None and done + tally.frames == 0:
            raise tally.error
        people = files.finish(predictor.body, arguments.smooth, complete=True)
    return _report(arguments, tally, people, done, seconds)


def _frames(reader: VideoReader, done: int, tally: _Tally) -> Iterator[VideoFrame]:
    """Yield the frames that are not done; note what is wrong with the file."""
    try:
        for frame in reader:
            if frame.number >= done:
                yield frame
    except InputError as error:
        tally.error = error


def _write(
    recovered: FramePeople,
    smoother: Smoother | None,
    files: VideoFiles,
    arguments: argparse.Namespace,
    tally: _Tally,
) -> None:
    if recovered.error is not None:
        if not tally.failed:
            say(f"failed: frame {recovered.number}, maybe others: {recovered.error}")
        tally.failed += 1
    shown = recovered if smoother is None else smoother(recovered)
    if arguments.meshes:
        files.add_meshes(shown, arguments.floor)
    files.add(recovered, shown)
    tally.frames += 1
    tally.people += len(recovered.people)


def _report(
    arguments: argparse.Namespace, tally: _Tally, people: int, done: int, seconds: float
) -> int:
    """Say what was done and what was not; return the exit status."""
    if tally.error is not None:
        say(f"failed: {tally.error}")
    if tally.failed:
        say(f"{tally.failed} of the frames failed")
    if not people and not tally.failed:
        remedy = "Give a video with a person"
        raise InputError("--video", arguments.video, "nobody found in it", remedy)
    noun = "person" if people == 1 else "people"
    frames, each = tally.frames / seconds, tally.people / seconds
    print(
        one_line(
            f"{people} {noun} in {done + tally.frames} frames recovered into {arguments.out}, "
            f"{frames:.1f} frames and {each:.1f} people a second"
        )
    )
    return 1 if tally.error is not None or tally.failed else 0
