"""What was recovered, on disk frame by frame: what a broken-off video goes on from."""

import os
from pathlib import Path

import numpy as np
import torch

from bilayer_graph.errors import not_written
from bilayer_graph.person import Person
from bilayer_graph.video.following import FramePeople

NOBODY = -1
"""Number of the one record of a frame without people."""
RECORD = np.dtype(
    [
        ("frame", "<i8"),
        ("time", "<f8"),
        ("people", "<i4"),  # how many the frame has
        ("number", "<i4"),
        ("rotations", "<f4", (24, 3, 3)),
        ("betas", "<f4", (10,)),
        ("place", "<f4", (3,)),
        ("joints", "<f4", (12, 3)),
        ("keypoints", "<f4", (17, 3)),
        ("focal", "<f4"),
        ("centre", "<f4", (2,)),
    ]
)
"""One person in one frame, as it was recovered, not smoothed."""


class FrameLog:
    """A file of records, those of a frame one after the other.

    Args:
        path: The file; it may be there already, of a run that broke off.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def add(self, frame: FramePeople) -> None:
        """Write the people of the next frame.

        Raises:
            InputError: If they cannot be written.
        """
        records = np.zeros(max(1, len(frame.people)), RECORD)
        records["frame"], records["time"] = frame.number, frame.time
        records["people"], records["number"] = len(frame.people), NOBODY
        for record, (number, person) in zip(records, frame.people.items(), strict=False):
            _fill(record, number, person)
        try:
            # Without a buffer: what is done is on the disk, or an error.
            with open(self.path, "ab", buffering=0) as file:
                file.write(records.tobytes())
        except OSError as error:
            raise not_written("--out", self.path, error) from error

    def records(self) -> np.ndarray:
        """Return the records, read from the disk as they are looked at."""
        count = os.path.getsize(self.path) // RECORD.itemsize if self.path.exists() else 0
        if not count:
            return np.zeros(0, RECORD)
        return np.memmap(self.path, RECORD, "r", shape=(count,))

    def finished(self) -> int:
        """Return how many frames are complete."""
        records = self.records()
        if not len(records):
            return 0
        last = records[-1]
        there = int((records["frame"][-max(1, int(last["people"])) :] == last["frame"]).sum())
        return int(last["frame"]) + (there == max(1, int(last["people"])))

    def cut(self, frames: int) -> None:
        """Forget all but the first frames."""
        keep = int(np.searchsorted(self.records()["frame"], frames))
        if self.path.exists():
            os.truncate(self.path, keep * RECORD.itemsize)


def _fill(record: np.void, number: int, person: Person) -> None:
    record["number"] = number
    record["rotations"] = torch.cat([person.global_orient[None], person.body_pose]).numpy()
    record["betas"] = person.betas.numpy()
    record["place"] = person.camera.place.numpy()
    record["joints"] = person.joints.numpy()
    record["keypoints"] = person.keypoints.numpy()
    record["focal"], record["centre"] = person.camera.focal, person.camera.centre.numpy()
