"""What `bilayer-graph recover` is to do: pictures, their keypoints, folders for their results."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bilayer_graph.errors import InputError
from bilayer_graph.pictures import KeypointFile, list_images, read_image
from bilayer_graph.recovery.requests import Keypoints


class Job(NamedTuple):
    """A picture, where its results go, and its keypoints; the detector looks if ``None``."""

    picture: Path
    out: Path
    keypoints: Keypoints | None


def plan(
    image: Path, keypoints: Path | None, out: Path, failed: dict[Path, InputError]
) -> list[Job]:
    """Return what is to be done; note pictures that cannot be.

    Args:
        image: A picture or a folder of them.
        keypoints: A file, a folder of files, or ``None``.
        out: Folder for the results.
        failed: Where pictures of a folder that have no keypoints are noted.

    Raises:
        InputError: If the folder, the one picture or the one keypoint file cannot be used.
    """
    if not os.path.isdir(image):  # unlike Path.is_dir, False of a name that cannot exist
        return [_single(image, keypoints, out)]
    paths = list_images(image)
    folders = name_folders(paths, out)
    if keypoints is None or not os.path.isdir(keypoints):
        shared = None if keypoints is None else _shared(keypoints)
        return [Job(path, folder, shared) for path, folder in zip(paths, folders, strict=True)]
    stems = Counter(path.stem for path in paths)
    jobs = []
    for path, folder in zip(paths, folders, strict=True):
        try:
            found = find_keypoints(path, keypoints, alone=stems[path.stem] == 1)
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


def find_keypoints(image: Path, folder: Path, alone: bool = True) -> KeypointFile | Path:
    """Return the keypoint file of a picture in a folder.

    Args:
        image: The picture.
        folder: Where the files lie.
        alone: Whether no other picture has its name before the suffix.

    Raises:
        InputError: If there is none, or only one that could as well be another picture's.
    """
    for name in (f"{image.name}.json", f"{image.name}.npy"):
        if os.path.isfile(folder / name):
            return folder / name
    names = [f"{image.stem}.json", f"{image.stem}.npy", f"{image.stem}_keypoints.json"]
    for name in names:
        if os.path.isfile(folder / name):
            return folder / name if alone else _of_twins(folder / name, image)
    remedy = f"Put {names[0]} there, or leave --keypoints out: the detector looks"
    raise InputError("--keypoints", folder, f"has no {', '.join(names)}", remedy)


def _single(image: Path, keypoints: Path | None, out: Path) -> Job:
    """Return the one job, its picture and keypoints read once to see that they can be."""
    size = read_image(image).size
    if keypoints is None:
        return Job(image, out, None)
    if os.path.isdir(keypoints):
        found = find_keypoints(image, keypoints)
        keypoints = found if isinstance(found, Path) else found.path
    return Job(image, out, KeypointFile.load(keypoints).people(image, size, only=True))


def _shared(keypoints: Path) -> KeypointFile:
    file = KeypointFile.load(keypoints)
    if not file.names_pictures:
        remedy = "Give a folder of files, or COCO JSON that names the pictures"
        raise InputError("--keypoints", keypoints, "it is of one picture only", remedy)
    return file


def _of_twins(path: Path, image: Path) -> KeypointFile:
    """Return a file that fits several pictures by its name, if it says whose people it has."""
    file = KeypointFile.load(path)
    if not file.names_pictures:
        problem = f"could be of {image.name} or of another {image.stem}"
        raise InputError("--keypoints", path, problem, f"Call it {image.name}{path.suffix}")
    return file
