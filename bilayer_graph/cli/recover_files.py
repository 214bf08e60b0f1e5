"""The results of a picture on disk, and how to tell that they are complete."""

import json
import os
import re
from pathlib import Path
from typing import Any

from bilayer_graph.cli.recover_jobs import Job
from bilayer_graph.errors import not_written
from bilayer_graph.person import FILES, Person
from bilayer_graph.recovery.people_overlay import overlay_people
from bilayer_graph.recovery.people_page import people_page

INDEX = "people.json"
"""Written last, so that it says that the picture is finished."""
PAGE = "people.html"
"""The people of a picture to look at, where it is asked for."""

# Folders that an index may name: what it says is not to be trusted with other people's files.
_RESULTS = re.compile(r"\.|person_\d+")
# People of one picture that its own overlay and page show.
_SHOWN = 30


def is_finished(job: Job) -> bool:
    """Return whether the results of this very picture are complete."""
    return _read_index(job.out).get("picture") == os.path.abspath(job.picture)


def make_folder(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        InputError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise not_written("--out", folder, error) from error


class PictureWriter:
    """A writer of the people of one picture after the other.

    Args:
        overlay: Whether to draw overlays.
        floor: Whether to put the feet of meshes on y = 0.
        page: Whether to write pages of HTML.
    """

    def __init__(self, overlay: bool, floor: bool, page: bool) -> None:
        self.overlay = overlay
        self.floor = floor
        self.page = page
        self._rows: list[dict[str, object]] = []
        self._shown: list[Person] = []

    def add(self, person: Person, index: int, count: int, job: Job) -> None:
        """Write a person: into the picture's folder, or one of its own if there are several.

        Raises:
            InputError: If it cannot be written.
        """
        if not self._rows:
            _clear(job.out)
        name = "." if count == 1 else f"person_{index}"
        person.save(job.out / name, overlay=self.overlay, floor=self.floor)
        row = {"folder": name, "index": index, "score": person.score}
        self._rows.append({**row, "uncertain": person.uncertain})
        if (self.page or (self.overlay and count > 1)) and len(self._shown) < _SHOWN:
            self._shown.append(person)

    def finish(self, job: Job) -> int:
        """Write what concerns the picture as a whole, if it has people; return their number.

        Raises:
            InputError: If it cannot be written.
        """
        rows, shown = self._rows, self._shown
        self._rows, self._shown = [], []
        if not rows:
            return 0
        index = {"picture": os.path.abspath(job.picture), "people": rows}
        partial = job.out / f"{INDEX}.partial"
        try:
            if self.overlay and rows[0]["folder"] != ".":
                overlay_people(shown).save(job.out / "overlay.png", compress_level=1)
            if self.page:
                (job.out / PAGE).write_text(people_page(shown, job.picture.name))
            partial.write_text(json.dumps(index, indent=1) + "\n")
            partial.replace(job.out / INDEX)
        except OSError as error:
            raise not_written("--out", job.out, error) from error
        return len(rows)


def _clear(folder: Path) -> None:
    """Remove the results of an earlier run, which may be those of more people."""
    people = _read_index(folder).get("people")
    names = {str(row.get("folder")) for row in people} | {"."} if people else set()
    try:
        # First of all the index: a picture half replaced is not finished.
        (folder / INDEX).unlink(missing_ok=True)
        for name in filter(_RESULTS.fullmatch, names):
            for file in (*FILES, PAGE):
                (folder / name / file).unlink(missing_ok=True)
    except OSError as error:
        raise not_written("--out", folder, error) from error


def _read_index(folder: Path) -> dict[str, Any]:
    """Return what a finished picture's folder says, nothing where it says nothing of use."""
    try:
        index = json.loads((folder / INDEX).read_text())
        rows = index["people"]
        return index if all(isinstance(row, dict) for row in rows) else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
