"""The results of a video on disk, and how to go on where they broke off."""

import json
import re
from pathlib import Path
from typing import Any

import torch

from bilayer_graph.body import BodyModel, make_rigs
from bilayer_graph.errors import InputError, not_written
from bilayer_graph.render.mesh_files import write_glb
from bilayer_graph.render.motion_files import write_motion
from bilayer_graph.video import Follower, FramePeople, Smoother, Track, VideoWriter, build_tracks
from bilayer_graph.video.drawing import draw_people
from bilayer_graph.video.frame_log import NOBODY, FrameLog
from bilayer_graph.video.writing import count_frames

INDEX = "video.json"
"""Written first, and again last, then saying that the video is finished."""
OVERLAY, LOG = "overlay.mp4", "frames.bin"

_ENDS = (".npz", ".glb", ".bvh", "_amass.npz")
_TRACK = re.compile(r"track_\d+")
# Seconds of the log that say who is who at its end.
_MEMORY = 1.0


class VideoFiles:
    """Writes what is recovered from a video, frame by frame.

    Args:
        folder: Where to.
        settings: What the results depend on, the video among it.
        overlay: Whether to draw the overlay video.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], overlay: bool) -> None:
        self.folder = folder
        self.settings = settings
        self.log = FrameLog(folder / LOG)
        self._draws = overlay
        self._keep = 0
        self._writer: VideoWriter | None = None

    def begin(self) -> int:
        """Remove the results of an earlier run, and begin; return the number of frames done, 0."""
        try:
            people = _read_index(self.folder).get("people", [])
            # First of all the index: a video half replaced is not finished.
            for name in (INDEX, OVERLAY, LOG):
                (self.folder / name).unlink(missing_ok=True)
            for name in filter(_TRACK.fullmatch, (str(row.get("name")) for row in people)):
                for end in _ENDS:
                    (self.folder / f"{name}{end}").unlink(missing_ok=True)
                for mesh in (self.folder / name).glob("*.glb"):
                    mesh.unlink()
        except OSError as error:
            raise not_written("--out", self.folder, error) from error
        self._write_index(complete=False, people=[])
        return 0

    def resume(self) -> int | None:
        """Return how many frames are done and stay, ``None`` if all are.

        Raises:
            InputError: If another run left its results there.
        """
        index = _read_index(self.folder)
        if not index:
            return self.begin()
        for name, value in self.settings.items():
            if index["settings"].get(name) != value:
                problem = f"was begun with {name} = {index['settings'].get(name)}, not {value}"
                remedy = "Give the same again, or another folder, or leave --resume out"
                raise InputError("--out", self.folder, problem, remedy)
        if index["complete"]:
            return None
        done = self.log.finished()
        if self._draws:
            done = self._keep = min(done, count_frames(self.folder / OVERLAY))
        self.log.cut(done)
        return done

    def recall(self, follower: Follower, smoother: Smoother | None) -> None:
        """Tell who was who in the frames that are done, and what they did."""
        records = self.log.records()
        for record in records:
            if record["number"] == NOBODY:
                continue
            number, time = int(record["number"]), float(record["time"])
            if time >= records["time"][-1] - _MEMORY:
                follower.tracker.recall(number, time, torch.tensor(record["keypoints"]))
            if smoother is not None:
                values = (torch.tensor(record[name]) for name in ("rotations", "betas", "place"))
                smoother.step(number, time, *values)
        numbers = records["number"]
        follower.tracker.next = int(numbers.max()) + 1 if len(numbers) else 0

    def add(self, frame: FramePeople, shown: FramePeople) -> None:
        """Write a frame: what was recovered, and what is shown of it.

        Raises:
            InputError: If it cannot be written.
        """
        if self._draws:
            drawn = draw_people(shown)
            if self._writer is None:
                self._writer = VideoWriter(self.folder / OVERLAY, drawn.size, self._keep)
            self._writer.add(drawn, frame.time)
        self.log.add(frame)

    def add_meshes(self, frame: FramePeople, floor: bool) -> None:
        """Write the mesh of each person of a frame.

        Raises:
            InputError: If one cannot be written.
        """
        try:
            for number, person in frame.people.items():
                folder = self.folder / _name(number)
                folder.mkdir(exist_ok=True)
                write_glb(person.mesh(floor), folder / f"{frame.number:06d}.glb")
        except OSError as error:
            raise not_written("--out", self.folder, error) from error

    def finish(self, body: BodyModel, smooth: bool, complete: bool) -> int:
        """Write the people's tracks; return their number.

        Args:
            body: The body that they have.
            smooth: Whether the tracks are smoothed.
            complete: Whether nothing is left to be done.
        """
        self.close()
        people = []
        for number, track in build_tracks(self.log.records(), body, smooth):
            self._write_track(number, track, body)
            first, last = int(track.frames[0]), int(track.frames[-1])
            row = {"name": _name(number), "frames": len(track.frames)}
            people.append({**row, "first": first, "last": last})
        self._write_index(complete, people)
        if complete:
            (self.folder / LOG).unlink(missing_ok=True)
        return len(people)

    def _write_track(self, number: int, track: Track, body: BodyModel) -> None:
        stem = self.folder / _name(number)
        track.save(stem.with_suffix(".npz"))
        (rig,) = make_rigs(body, torch.from_numpy(track.betas)[None])
        try:
            write_motion(rig, stem, track.times, track.rotations, track.translation)
        except OSError as error:
            raise not_written("--out", stem, error) from error

    def close(self) -> None:
        """Close the overlay video."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def _write_index(self, complete: bool, people: list[dict[str, Any]]) -> None:
        index = {"settings": self.settings, "complete": complete, "people": people}
        partial = self.folder / f"{INDEX}.partial"
        try:
            partial.write_text(json.dumps(index, indent=1) + "\n")
            partial.replace(self.folder / INDEX)
        except OSError as error:
            raise not_written("--out", self.folder, error) from error


def _name(number: int) -> str:
    return f"track_{number}"


def _read_index(folder: Path) -> dict[str, Any]:
    """Return what the folder of a video says, nothing where it says nothing of use."""
    try:
        index = json.loads((folder / INDEX).read_text())
        sound = isinstance(index["settings"], dict) and isinstance(index["complete"], bool)
        return index if sound and all(isinstance(row, dict) for row in index["people"]) else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
