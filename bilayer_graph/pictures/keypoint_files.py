"""2D keypoints of people from files, by picture."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bilayer_graph.errors import InputError
from bilayer_graph.pictures.json_file import MAX_BYTES
from bilayer_graph.pictures.keypoint_formats import read_people, said_rows
from bilayer_graph.pictures.npy_file import array_rows
from bilayer_graph.pictures.person_rows import (
    MAX_PEOPLE,
    REMEDY,
    Row,
    UnusableRowError,
    read_row,
    too_many,
)
from bilayer_graph.pictures.picture_index import Picture, PictureIndex

# People and pictures that a message names before it says how many more there are.
_SHOWN = 3


@dataclass(frozen=True)
class People:
    """The people of a picture.

    Attributes:
        keypoints: ``[P, 17, 3]`` float32 in COCO's order: x, y in pixels of the picture and
            confidence in [0, 1]. Joints that the file does not have, such as a face, are zeros.
        rows: Which of the picture's people in the file each of them is, counted from 0.
    """

    keypoints: Tensor
    rows: tuple[int, ...]


class KeypointFile:
    """A keypoint file, read once; see :func:`read_keypoints` for the formats.

    Args:
        path: The file, for messages.
        pictures: Pictures that the file knows, and their people.
        loose: People of no picture: all of them, where a file is of one picture.
    """

    def __init__(self, path: Path, pictures: list[Picture], loose: list[Row]) -> None:
        self.path = path
        self._pictures = pictures
        self._loose = loose
        self._index = PictureIndex(pictures)
        self._said: set[str] = set()

    @classmethod
    def load(cls, path: str | Path, joints: str | None = None) -> "KeypointFile":
        """Read a file.

        Args:
            path: The file.
            joints: What its joints are where it does not name them: one of ``JOINT_ORDERS``.

        Raises:
            InputError: If it is missing, too large, none of the formats, or has nobody in it; if
                there is no such order, or the file names its joints itself.
        """
        path = Path(path)
        if not os.path.isfile(path):  # unlike Path.is_file, False of a name that cannot exist
            raise InputError("keypoints", path, "no such file", REMEDY)
        size = path.stat().st_size
        if size > MAX_BYTES:
            problem = f"{size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}"
            raise InputError("keypoints", path, problem, "Split it")
        pictures, loose = read_people(path, joints)
        if not loose and not any(picture.rows for picture in pictures):
            raise InputError("keypoints", path, "no person in it", REMEDY)
        return cls(path, pictures, loose)

    @classmethod
    def of_array(cls, array: np.ndarray, joints: str | None = None) -> "KeypointFile":
        """Take the people of one picture from an array, as a ``.npy`` file has it.

        Args:
            array: ``[J, 2 | 3]`` or ``[P, J, 2 | 3]``, pixels.
            joints: What the J joints are, one of ``JOINT_ORDERS``; COCO's 17 or the 12 limb joints
                need no word.

        Raises:
            InputError: If it has another shape or type, or there is no such order.
        """
        path = Path("array")
        rows = array_rows(path, array)
        return cls(path, [], rows if joints is None else said_rows(path, rows, joints))

    @property
    def names_pictures(self) -> bool:
        """Whether the file says whose people it has; otherwise it is of one picture."""
        return bool(self._pictures)

    def people(
        self,
        image: str | Path | None = None,
        size: tuple[int, int] | None = None,
        only: bool = False,
    ) -> People:
        """Return the people of one picture, in the order of the file.

        People who cannot be used are left out with a warning, unless nobody remains: those with a
        value that is not finite, a wrong number of joints, without two visible limb joints, in
        normalised coordinates, with a score above 10, or, if ``size`` is given, outside of the
        picture. Other scores outside of [0, 1] are clamped, with a warning. Coordinates that are
        shares of the picture, as the format says, become pixels, with a warning.

        Args:
            image: The picture's path or name; not needed where the file has one picture.
            size: Width and height of the picture, to be compared with those in the file; needed
                where coordinates are shares of them.
            only: The file was given for this picture and no other: if it has one picture, it is
                taken under any name.

        Returns:
            At least one person.

        Raises:
            InputError: If no picture or several fit ``image``, the sizes differ, or nobody can be
                used.
        """
        picture = self._find(None if image is None else Path(image), only)
        if picture is not None:
            self._check_picture(picture, size)
        rows = self._loose if picture is None else picture.rows
        if len(rows) > MAX_PEOPLE:
            raise too_many(self.path, len(rows))
        return self._read(rows, size, "" if picture is None else f" of {picture}")

    def _find(self, image: Path | None, only: bool) -> Picture | None:
        """Return the picture that is meant; None if the file is of one picture without a name."""
        if not self._pictures:
            return None
        if self._loose:
            self._say("loose", f"{len(self._loose)} people left out that have no usable image_id")
        sole = self._pictures[0] if len(self._pictures) == 1 else None
        if image is None:
            if sole is None:
                raise self._unclear("it is unclear which is meant")
            return sole
        fits = self._index.find(image)
        if len(fits) == 1:
            self._check_folder(fits[0], image)
            return fits[0]
        if sole is None or not only or PictureIndex.lies_beside(sole, image):
            raise self._unclear(f"{image} does not fit exactly one")
        if not sole.is_number:
            self._say("name", f"its people are those of {sole}, taken for {image.name}")
        return sole

    def _check_folder(self, picture: Picture, image: Path) -> None:
        if not PictureIndex.same_folder(picture, image):
            text = f"{image.name} of the folder {image.parent} is taken for its {picture}"
            self._say("folder", f"{text}, as only the folder differs")

    def _unclear(self, problem: str) -> InputError:
        shown = ", ".join(str(picture) for picture in self._pictures[:_SHOWN])
        count = len(self._pictures)
        more = ", ..." if count > _SHOWN else ""
        problem = f"of its {count} picture{'s' * (count > 1)} ({shown}{more}), {problem}"
        remedy = "Name a picture of the file, or give a file of this picture"
        return InputError("keypoints", self.path, problem, remedy)

    def _check_picture(self, picture: Picture, size: tuple[int, int] | None) -> None:
        if picture.problem:
            remedy = "Give each picture an id of its own"
            raise InputError("keypoints", self.path, picture.problem, remedy)
        if size is None or picture.size is None or tuple(size) == picture.size:
            return
        there = f"{picture.size[0]:g} x {picture.size[1]:g}"
        problem = f"its keypoints are in a picture of {there} pixels, this one has"
        problem += f" {size[0]} x {size[1]}"
        if tuple(size) == picture.size[::-1]:
            problem += ", turned as EXIF says"
        remedy = "Give the picture on which the keypoints were found"
        raise InputError("keypoints", self.path, problem, remedy)

    def _read(self, rows: list[Row], size: tuple[int, int] | None, where: str) -> People:
        found: dict[int, Tensor] = {}
        left_out: dict[int, UnusableRowError] = {}
        clamped = []
        for number, row in enumerate(rows):
            try:
                found[number], sticks_out = read_row(row, size)
            except UnusableRowError as error:
                left_out[number] = error
            else:
                clamped += [number] * sticks_out
        reasons = [f"person {number} {error}" for number, error in left_out.items()]
        if not found:
            remedy = next(iter(left_out.values())).remedy if left_out else REMEDY
            problem = _few(reasons, "; ") or f"no person{where} in it"
            raise InputError("keypoints", self.path, problem, remedy)
        if reasons:
            self._warn(f"left out{where}: {_few(reasons, '; ')}")
        if size is not None and any(rows[number].shares for number in found):
            text = "coordinates are shares of the picture's size, as the format says"
            self._say("shares", f"{text}; multiplied by {size[0]} x {size[1]} pixels{where}")
        if clamped:
            numbers = _few([str(number) for number in clamped], ", ")
            text = f"scores outside of [0, 1] are clamped, first{where} of person {numbers}"
            self._say("scores", text)
        return People(torch.stack(list(found.values())), tuple(found))

    def _say(self, kind: str, text: str) -> None:
        """Warn of what the whole file has, not anew at each picture."""
        if kind not in self._said:
            self._said.add(kind)
            self._warn(text)

    def _warn(self, text: str) -> None:
        warnings.warn(f"keypoints={self.path}: {text}.", stacklevel=2)


def read_keypoints(
    path: str | Path,
    image_name: str | Path | None = None,
    image_size: tuple[int, int] | None = None,
    joints: str | None = None,
) -> Tensor:
    """Read the people of a keypoint file, in order; for many pictures see :class:`KeypointFile`.

    Read are, by the names of their fields, the JSON of COCO (and of all who write as it does),
    OpenPose, MMPose, AlphaPose, Detectron2, Ultralytics, MediaPipe and MPII, and by their suffix
    ``.npy`` and the ``.txt`` of YOLO. Joints are what the file names them; without names 17 are
    COCO's, 25, 18 and 15 of OpenPose's its own, 12 of a ``.npy`` the limb joints, and others are
    for ``joints`` to say. ``docs/data.md`` has a table.

    Args:
        path: The file.
        image_name: Picture whose people to take, by file name, by its name without the suffix, or
            by a number as ``image_id``; not needed where the file has one picture.
        image_size: Width and height of the picture, to be compared with those in the file; needed
            where coordinates are shares of them.
        joints: What its joints are where it does not name them: one of ``JOINT_ORDERS``.

    Returns:
        ``[P, 17, 3]`` float32 in COCO's order: x, y in pixels of the picture and confidence in
        [0, 1]. Joints that the file does not have are zeros. See :meth:`KeypointFile.people` for
        who is left out.

    Raises:
        InputError: As :meth:`KeypointFile.load` and :meth:`KeypointFile.people`.
    """
    return KeypointFile.load(path, joints).people(image_name, image_size).keypoints


def _few(texts: list[str], between: str) -> str:
    """Return the first texts, and how many more there are."""
    more = len(texts) - _SHOWN
    return between.join(texts[:_SHOWN]) + (f"{between}and {more} more" if more > 0 else "")
