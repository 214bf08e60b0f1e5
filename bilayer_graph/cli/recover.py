"""Recover the people of a picture, or of a folder of pictures."""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from bilayer_graph.errors import InputError
from bilayer_graph.models.lifting import FIELD_OF_VIEW
from bilayer_graph.person import Person, overlay_people
from bilayer_graph.pictures import KeypointFile, list_images
from bilayer_graph.predict import Keypoints, Predictor, Result

# Written when a picture is finished, so that --resume can tell.
INDEX = "people.json"
# People of one picture that its own overlay shows.
_SHOWN = 30


class Job(NamedTuple):
    """A picture, where its results go, and its keypoints; the detector looks if ``None``."""

    picture: Path
    out: Path
    keypoints: Keypoints | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("image", type=Path, help="picture, or folder of pictures")
    parser.add_argument(
        "--keypoints",
        type=Path,
        help="file (COCO or OpenPose JSON, .npy), or folder with NAME.json or NAME.npy for each "
        "picture; without it the detector looks",
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    parser.add_argument("--weights", type=Path, help="checkpoint; default: the shipped one")
    parser.add_argument("--body", type=Path, help="body file with SMPL's fields")
    parser.add_argument(
        "--fov",
        type=float,
        default=FIELD_OF_VIEW,
        help="field of view along the longer side, degrees (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help='"auto", "cpu" or "cuda"')
    parser.add_argument("--no-overlay", action="store_true", help="draw no overlays: faster")
    parser.add_argument("--floor", action="store_true", help="put the feet of meshes on y = 0")
    parser.add_argument("--resume", action="store_true", help="skip pictures that are finished")


def run(arguments: argparse.Namespace) -> int:
    """Recover people and write them; return the exit status."""
    failed: dict[Path, InputError] = {}
    jobs = plan(arguments.image, arguments.keypoints, arguments.out, failed)
    if arguments.resume:
        unfinished = [job for job in jobs if not (job.out / INDEX).is_file()]
        print(f"{len(jobs) - len(unfinished)} of {len(jobs)} pictures are finished already")
        jobs = unfinished
    people = 0
    start = time.perf_counter()
    if jobs:
        make_folder(arguments.out)
        predictor = Predictor.load(
            arguments.weights, arguments.body, arguments.device, field_of_view=arguments.fov
        )
        start = time.perf_counter()
        people = _recover(predictor, jobs, arguments, failed)
    seconds = time.perf_counter() - start
    for path, error in failed.items():
        print(f"failed: {path}: {error}", file=sys.stderr)
    if failed and not arguments.image.is_dir():
        return 2
    rate = f", {people / seconds:.1f} a second" if people > 1 else ""
    noun = "person" if people == 1 else "people"
    print(f"{people} {noun} recovered into {arguments.out}{rate}")
    return 1 if failed else 0


def plan(
    image: Path, keypoints: Path | None, out: Path, failed: dict[Path, InputError]
) -> list[Job]:
    """Return what is to be done; note pictures that cannot be.

    Args:
        image: A picture or a folder of them.
        keypoints: A file, a folder of files, or ``None``.
        out: Folder for the results.
        failed: Where pictures without keypoints are noted.

    Raises:
        InputError: If a folder or the one keypoint file cannot be used.
    """
    folder = image.is_dir()
    paths = list_images(image) if folder else [image]
    folders = name_folders(paths, out) if folder else [out]
    shared: KeypointFile | None = None
    if keypoints is not None and not keypoints.is_dir():
        shared = KeypointFile.load(keypoints)
        if folder and not shared.names_pictures:
            remedy = "Give a folder of files, or COCO JSON that names the pictures"
            raise InputError("--keypoints", keypoints, "it is of one picture only", remedy)
    jobs = []
    for path, target in zip(paths, folders, strict=True):
        given: Keypoints | None = shared if folder else keypoints
        if keypoints is not None and keypoints.is_dir():
            try:
                given = find_keypoints(path, keypoints)
            except InputError as error:
                failed[path] = error
                continue
        jobs.append(Job(path, target, given))
    return jobs


def name_folders(paths: list[Path], out: Path) -> list[Path]:
    """Return a folder for each picture: its stem, or its name where two share a stem."""
    stems = Counter(path.stem.casefold() for path in paths)
    return [out / (path.stem if stems[path.stem.casefold()] == 1 else path.name) for path in paths]


def find_keypoints(image: Path, folder: Path) -> Path:
    """Return the keypoint file of a picture in a folder.

    Raises:
        InputError: If there is none.
    """
    names = [f"{image.name}.json", f"{image.stem}.json", f"{image.stem}.npy"]
    names.append(f"{image.stem}_keypoints.json")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    remedy = f"Put {names[1]} there, or leave --keypoints out: the detector looks"
    raise InputError("--keypoints", folder, f"has no {', '.join(names)}", remedy)


def make_folder(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        InputError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Give a folder that can be written to"
        raise InputError("--out", folder, f"cannot be made ({error.strerror})", remedy) from error


def _recover(
    predictor: Predictor,
    jobs: list[Job],
    arguments: argparse.Namespace,
    failed: dict[Path, InputError],
) -> int:
    """Recover the people of all pictures, write each as it comes; return their number."""
    count = 0
    writer = _PictureWriter(not arguments.no_overlay, arguments.floor)
    pairs = ((job.picture, job.keypoints) for job in jobs)
    with tqdm(total=len(jobs), unit="picture", disable=len(jobs) == 1) as bar:
        for result in predictor.stream(pairs):
            job = jobs[result.number]
            if result.error is not None:
                failed[job.picture] = result.error
            if result.person is not None:
                writer.add(result, result.person, job)
                count += 1
            if result.index >= result.count - 1:
                writer.finish(job, failed.get(job.picture))
                bar.update()
    return count


class _PictureWriter:
    """Writes the people of one picture after the other."""

    def __init__(self, overlay: bool, floor: bool) -> None:
        self.overlay = overlay
        self.floor = floor
        self.rows: list[dict[str, object]] = []
        self.shown: list[Person] = []

    def add(self, result: Result, person: Person, job: Job) -> None:
        """Write a person: into the picture's folder, or one of its own if there are several."""
        name = "." if result.count == 1 else f"person_{result.index}"
        person.save(job.out / name, overlay=self.overlay, floor=self.floor)
        row = {"folder": name, "score": person.score, "uncertain": person.uncertain}
        self.rows.append(row)
        if self.overlay and result.count > 1 and len(self.shown) < _SHOWN:
            self.shown.append(person)
        if person.uncertain:
            text = f"person {result.index} of {job.picture} is a guess: nobody surer was found"
            print(f"warning: {text}", file=sys.stderr)

    def finish(self, job: Job, error: InputError | None) -> None:
        """Write what concerns the picture as a whole; nothing if it failed."""
        if self.shown:
            overlay_people(self.shown).save(job.out / "overlay.png", compress_level=1)
        if error is None:
            index = {"picture": str(job.picture), "people": self.rows}
            (job.out / INDEX).write_text(json.dumps(index, indent=1) + "\n")
        self.rows, self.shown = [], []
