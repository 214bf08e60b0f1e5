"""Recover the people of a picture, of a folder of pictures, or of a video."""

import argparse
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from bilayer_graph.cli import recover_video
from bilayer_graph.cli.messages import plain_warnings, say
from bilayer_graph.cli.numbers import degrees
from bilayer_graph.cli.recover_files import PictureWriter, is_finished, make_folder
from bilayer_graph.cli.recover_jobs import Job, plan
from bilayer_graph.errors import InputError, one_line
from bilayer_graph.models.lifting import FIELD_OF_VIEW
from bilayer_graph.pictures import JOINT_ORDERS
from bilayer_graph.predict import Predictor, choose_device

# Options that mean something for one kind of input only.
_OF_PICTURES, _OF_VIDEOS = ("keypoints", "joints", "html"), ("smooth", "meshes")


@dataclass
class _Tally:
    """What is done so far."""

    pictures: int = 0
    people: int = 0
    failed: dict[Path, InputError] = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("image", type=Path, nargs="?", help="picture, or folder of pictures")
    parser.add_argument("--video", help="video file, or the number of a camera, instead")
    parser.add_argument(
        "--keypoints",
        type=Path,
        help="file (COCO, OpenPose, ... JSON, .npy, YOLO's .txt), or folder with NAME.json, "
        "NAME.npy or NAME.txt for each picture; without it the detector looks",
    )
    parser.add_argument(
        "--joints",
        choices=JOINT_ORDERS,
        metavar="NAME",
        help=f"what the keypoints are, where files do not say it: {', '.join(JOINT_ORDERS)}",
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    parser.add_argument("--weights", type=Path, help="checkpoint; default: the shipped one")
    parser.add_argument("--body", type=Path, help="body file with SMPL's fields")
    parser.add_argument(
        "--fov",
        type=degrees,
        default=FIELD_OF_VIEW,
        help="field of view along the longer side, degrees (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help='"auto", "cpu" or "cuda"')
    parser.add_argument("--no-overlay", action="store_true", help="draw no overlays: faster")
    parser.add_argument(
        "--html", action="store_true", help="write a page to look at each picture's people in 3D"
    )
    parser.add_argument("--floor", action="store_true", help="put the feet of meshes on y = 0")
    parser.add_argument(
        "--resume", action="store_true", help="skip pictures and frames that are finished"
    )
    parser.add_argument("--smooth", action="store_true", help="video: filter what people do")
    parser.add_argument("--meshes", action="store_true", help="video: write the mesh of each frame")


def run(arguments: argparse.Namespace) -> int:
    """Recover people and write them; return the exit status."""
    _check(arguments)
    with plain_warnings():
        return _run(arguments) if arguments.video is None else recover_video.run(arguments)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that have no meaning together."""
    if (arguments.image is None) == (arguments.video is None):
        problem = "nothing to recover" if arguments.image is None else "given beside --video"
        raise InputError("image", arguments.image, problem, "Give a picture, a folder or --video")
    kind, foreign = (
        ("videos", _OF_VIDEOS) if arguments.video is None else ("pictures", _OF_PICTURES)
    )
    for name in foreign:
        value = getattr(arguments, name)
        if value:
            raise InputError(f"--{name}", value, f"is for {kind}", "Leave it out")


def _run(arguments: argparse.Namespace) -> int:
    tally = _Tally()
    choose_device(arguments.device)
    paths = arguments.image, arguments.keypoints, arguments.out
    jobs = plan(*paths, tally.failed, arguments.joints)
    if arguments.resume:
        count = len(jobs)
        jobs = [job for job in jobs if not is_finished(job)]
        print(f"{count - len(jobs)} of {count} pictures are finished already")
    start = time.perf_counter()
    if jobs:
        make_folder(arguments.out)
        predictor = _load(arguments, jobs)
        start = time.perf_counter()
        writer = PictureWriter(not arguments.no_overlay, arguments.floor, arguments.html)
        try:
            _recover(predictor, jobs, writer, tally)
        except KeyboardInterrupt:
            _say_stopped("interrupted", tally, len(jobs))
            return 130
        except InputError:  # nothing can be written any more
            if len(jobs) > 1:
                _say_stopped("stopped", tally, len(jobs))
            raise
    return _report(arguments, tally, time.perf_counter() - start)


def _load(arguments: argparse.Namespace, jobs: list[Job]) -> Predictor:
    blind = any(job.keypoints is None for job in jobs)
    return Predictor.load(
        arguments.weights,
        arguments.body,
        arguments.device,
        detector="default" if blind else None,
        field_of_view=arguments.fov,
    )


def _recover(predictor: Predictor, jobs: list[Job], writer: PictureWriter, tally: _Tally) -> None:
    """Recover the people of all pictures, and write each as it comes."""
    pairs = ((job.picture, job.keypoints) for job in jobs)
    errors: list[InputError] = []
    with tqdm(total=len(jobs), unit="picture", disable=len(jobs) == 1) as bar:
        for result in predictor.stream(pairs):
            job = jobs[result.number]
            if result.person is not None:
                writer.add(result.person, result.index, result.count, job)
                if result.person.uncertain:
                    say(f"warning: {job.picture}: a guess, nobody surer was found")
            elif result.error is not None:
                errors.append(result.error)
            if result.last:
                _finish(job, writer.finish(job), errors, tally)
                errors = []
                bar.update()


def _finish(job: Job, people: int, errors: list[InputError], tally: _Tally) -> None:
    """Count a picture; it failed if it shows nobody who could be recovered."""
    tally.pictures += 1
    tally.people += people
    if not people:
        tally.failed[job.picture] = errors[0]
        return
    for error in errors:
        say(f"warning: {job.picture}: left out: {error}")


def _say_stopped(why: str, tally: _Tally, count: int) -> None:
    _say_failed(tally)
    say(f"{why}: {tally.pictures} of {count} pictures done; --resume goes on")


def _say_failed(tally: _Tally) -> None:
    if tally.failed:
        say(f"{len(tally.failed)} of the pictures failed:")
    for path, error in tally.failed.items():
        say(f"failed: {path}: {error}")


def _report(arguments: argparse.Namespace, tally: _Tally, seconds: float) -> int:
    """Say what was done and what was not; return the exit status."""
    if tally.failed and not os.path.isdir(arguments.image):
        raise next(iter(tally.failed.values()))
    _say_failed(tally)
    rate = f", {tally.people / seconds:.1f} a second" if tally.people > 1 else ""
    noun = "person" if tally.people == 1 else "people"
    print(one_line(f"{tally.people} {noun} recovered into {arguments.out}{rate}"))
    return 1 if tally.failed else 0
