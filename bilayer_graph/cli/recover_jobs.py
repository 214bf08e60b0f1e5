"""What ``bilayer-graph recover`` is to do: pictures, their keypoints, folders for their results."""

import os
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bilayer_graph.errors import InputError
from bilayer_graph.pictures import KeypointFile, list_images, read_image
from bilayer_graph.recovery.requests import Keypoints

# In the order in which they are looked for.
_SUFFIXES = (".json", ".npy", ".txt")


class Job(NamedTuple):
    """A picture, where its results go, and its keypoints; the detector looks if ``None``."""

    picture: Path
    out: Path
    keypoints: Keypoints | None


def plan(
    image: Path,
    keypoints: Path | None,
    out: Path,
    failed: dict[Path, InputError],
    joints: str | None = None,
) -> list[Job]:
    """Return what is to be done; note pictures that cannot be.

    Args:
        image: A picture or a folder of them.
        keypoints: A file, a folder of files, or ``None``.
        out: Folder for the results.
        failed: Where pictures of a folder that have no keypoints are noted.
        joints: What the keypoints are where files do not name them.

    Raises:
        InputError: If the folder, the one picture or the one keypoint file cannot be used.
    """
    if joints is not None and keypoints is None:
        raise InputError("--joints", joints, "no keypoints are given", "Give --keypoints too")
    if not os.path.isdir(image):  # unlike Path.is_dir, False of a name that cannot exist
        return [_single(image, keypoints, out, joints)]
    paths = list_images(image)
    folders = name_folders(paths, out)
    if keypoints is None or not os.path.isdir(keypoints):
        shared = None if keypoints is None else _shared(keypoints, joints)
        return [Job(path, folder, shared) for path, folder in zip(paths, folders, strict=True)]
    stems = Counter(path.stem for path in paths)
    jobs = []
    for path, folder in zip(paths, folders, strict=True):
        try:
            file, is_own = find_keypoints(path, keypoints)
            # Read when its turn comes, unless it has to say whose it is.
            found: Keypoints = partial(KeypointFile.load, file, joints)
            if not is_own and stems[path.stem] > 1:
                found = _of_twins(file, path, joints)
        except InputError as error:
            failed[path] = error
            continue
        jobs.append(Job(path, folder, found))
    return jobs


def name_folders(paths: list[Path], out: Path) -> list[Path]:
    """Return a folder for each picture: its stem, or its name where that means another too."""
    stems = Counter(path.stem.casefold() for path in paths)
    names = {path.name.casefold() for path in paths}
    return [
        out / (path.name if stems[stem] > 1 or stem in names else path.stem)
        for path in paths
        for stem in [path.stem.casefold()]
    ]


def find_keypoints(image: Path, folder: Path) -> tuple[Path, bool]:
    """Return the keypoint file of a picture in a folder, and whether it has its whole name.

    Args:
        image: The picture.
        folder: Where the files lie.

    Raises:
        InputError: If there is none.
    """
    for suffix in _SUFFIXES:
        if os.path.isfile(folder / f"{image.name}{suffix}"):
            return folder / f"{image.name}{suffix}", True
    names = [f"{image.stem}{suffix}" for suffix in (*_SUFFIXES, "_keypoints.json")]
    for name in names:
        if os.path.isfile(folder / name):
            return folder / name, False
    remedy = f"Put {names[0]} there, or leave --keypoints out: the detector looks"
    raise InputError("--keypoints", folder, f"has no {', '.join(names)}", remedy)


def _single(image: Path, keypoints: Path | None, out: Path, joints: str | None) -> Job:
    """Return the one job, its picture and keypoints read once to see that they can be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when it is read again, to be recovered
        size = read_image(image).size
    if keypoints is None:
        return Job(image, out, None)
    if os.path.isdir(keypoints):
        keypoints, _ = find_keypoints(image, keypoints)
    return Job(image, out, KeypointFile.load(keypoints, joints).people(image, size, only=True))


def _shared(keypoints: Path, joints: str | None) -> KeypointFile:
    file = KeypointFile.load(keypoints, joints)
    if not file.names_pictures:
        remedy = "Give a folder of files, or one that names the pictures"
        raise InputError("--keypoints", keypoints, "it is of one picture only", remedy)
    return file


def _of_twins(path: Path, image: Path, joints: str | None) -> KeypointFile:
    """Return a file that fits several pictures by its name, if it says whose people it has."""
    file = KeypointFile.load(path, joints)
    if not file.names_pictures:
        problem = f"could be of {image.name} or of another {image.stem}"
        raise InputError("--keypoints", path, problem, f"Call it {image.name}{path.suffix}")
    return file
