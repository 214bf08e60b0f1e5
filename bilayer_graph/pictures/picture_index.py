"""Which of the pictures that a file knows an image is."""

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from bilayer_graph.pictures.folders import IMAGE_SUFFIXES
from bilayer_graph.pictures.person_rows import Row


@dataclass
class Picture:
    """A picture that a keypoint file knows.

    Attributes:
        id: What its people call it.
        name: Its file name; None where there is no more than the id.
        size: Width and height, where the file says them.
        rows: Its people.
        problem: Why it is unclear which picture it is, or nothing.
    """

    id: str
    name: str | None = None
    size: tuple[float, float] | None = None
    rows: list[Row] = field(default_factory=list)
    problem: str = ""

    @property
    def is_number(self) -> bool:
        """Whether nothing but a number is known of it."""
        return self.name is None and self.id.isdecimal()

    def __str__(self) -> str:
        return printable(self.name or self.id)


class PictureIndex:
    """An index that finds an image among pictures by its path.

    A picture fits an image that has its whole file name, else one that has its name without the
    suffix, else, where it has no name, its number (``000000000139.jpg`` is 139). Folders tell
    pictures of one name apart. A name without a suffix, or a number, fits no image beside which
    another of that name lies: either could be meant.
    """

    def __init__(self, pictures: list[Picture]) -> None:
        self._names: dict[str, list[Picture]] = {}
        self._stems: dict[str, list[Picture]] = {}
        self._numbers: dict[str, list[Picture]] = {}
        self._folders: set[str] = set()
        for picture in pictures:
            *folders, name = _parts(picture.name or picture.id)
            self._names.setdefault(name, []).append(picture)
            self._stems.setdefault(_stem(name), []).append(picture)
            self._folders.update(folders[-1:])
            if picture.is_number:
                self._numbers.setdefault(picture.id.lstrip("0"), []).append(picture)

    def find(self, image: Path) -> list[Picture]:
        """Find the pictures that fit an image; it is clear which is meant if they are one."""
        *folders, name = _parts(str(image))
        named = self._names.get(name, [])
        if named:
            return self._in_folder(named, folders)
        stem = _stem(name)
        fits = self._stems.get(stem, [])
        if fits:
            fits = self._in_folder(fits, folders)
        elif stem.isdecimal():
            fits = self._numbers.get(stem.lstrip("0"), [])
        return [] if fits and _twins(image) else fits

    @staticmethod
    def lies_beside(picture: Picture, image: Path) -> bool:
        """Return whether a picture lies beside an image, of its name and another suffix."""
        name = _parts(picture.name or picture.id)[-1]
        return _stem(name) == _stem(image.name) and name in _twins(image)

    @staticmethod
    def same_folder(picture: Picture, image: Path) -> bool:
        """Return whether the folders of a picture and an image agree, or one is not known."""
        known, folders = _folders(picture), _parts(str(image))[:-1]
        return not known or not folders or known[-1] == folders[-1]

    def _in_folder(self, pictures: list[Picture], folders: list[str]) -> list[Picture]:
        """Return those whose folders agree longest, none of others if the file knows this one."""
        agree = [_common(_folders(picture), folders) for picture in pictures]
        if max(agree) == 0 and folders and folders[-1] in self._folders:
            return [picture for picture in pictures if not _folders(picture)]
        return [
            picture for picture, same in zip(pictures, agree, strict=True) if same == max(agree)
        ]


def printable(text: str) -> str:
    """Return a text of a file short and on one line."""
    shown = text if len(text) <= 80 else f"{text[:40]}...{text[-37:]}"
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def _parts(path: str) -> list[str]:
    """Return folders and name of a path of any system, accents in one spelling."""
    parts = unicodedata.normalize("NFC", path).replace("\\", "/").split("/")
    return [part for part in parts[:-1] if part not in ("", ".")] + parts[-1:]


def _folders(picture: Picture) -> list[str]:
    return _parts(picture.name or picture.id)[:-1]


def _stem(name: str) -> str:
    """Return a name without the suffix of a picture; ``frame.001`` has none."""
    stem, _, suffix = name.rpartition(".")
    return stem if stem and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def _common(folders: list[str], others: list[str]) -> int:
    """Return how many folders next to the file agree."""
    count = 0
    for one, other in zip(reversed(folders), reversed(others), strict=False):
        if one != other:
            break
        count += 1
    return count


def _twins(image: Path) -> list[str]:
    """Return the pictures beside an image that have its name and another suffix."""
    stem = _stem(image.name)
    names = {f"{stem}{suffix}" for small in IMAGE_SUFFIXES for suffix in (small, small.upper())}
    return [name for name in names - {image.name} if os.path.isfile(image.parent / name)]
