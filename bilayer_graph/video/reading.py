"""The frames of a video file or of a camera, upright, with their times."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from bilayer_graph.errors import InputError
from bilayer_graph.video.library import load_av

_REMEDY = "Give a video file such as MP4, or the number of a camera"
# How the system's cameras are opened, and the name of the one with a number.
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
# Programs that draw text: every file of text would be a video.
_NOT_VIDEOS = ("tty",)
# How a stored picture is turned upright, by the counter-clockwise angle that it asks for.
_UPRIGHT = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
# Seconds that may be missing at the end of a sound video, and frames a second that nobody knows.
_SLACK = 0.5
_RATE = 25.0


class VideoFrame(NamedTuple):
    """One frame.

    Attributes:
        number: Which of the frames it is, counted from 0.
        time: Seconds since the first frame, growing from frame to frame.
        picture: The picture, mode RGB, upright.
    """

    number: int
    time: float
    picture: Image.Image


class VideoReader:
    """Reads frames one by one, at the times that the file says, whatever its frame rate does.

    Args:
        source: A file, or the number of a camera.

    Attributes:
        count: How many frames there are, as the file says; ``None`` if it does not.

    Raises:
        InputError: If PyAV is missing, if there is no such file or camera, if it is no video or has
            no pictures. While reading, after all frames that can be read: if some cannot be.
    """

    def __init__(self, source: str | Path | int) -> None:
        self._av = load_av()
        self.source = source
        self.is_camera = isinstance(source, int)
        self._container = self._open_camera(source) if isinstance(source, int) else self._open()
        pictures = [one for one in self._container.streams.video if not _is_cover(self._av, one)]
        if not pictures:
            self.close()
            raise InputError("video", source, "has no pictures, only sound or data", _REMEDY)
        self._stream: Any = pictures[0]
        self._stream.thread_type = "AUTO"
        self.count: int | None = self._stream.frames or None

    def __iter__(self) -> Iterator[VideoFrame]:
        last, first, number, end = -1.0, None, 0, 0.0
        rate = float(self._stream.average_rate or _RATE)
        broken: list[Exception] = []
        for frame in self._decode(broken):
            time = number / rate if frame.time is None else float(frame.time)
            first = time if first is None else first
            end = time + 1 / rate
            # Times that stand still or go back are the file's mistake.
            time = time - first if time - first > last else last + 1 / rate
            yield VideoFrame(number, time, _upright(frame))
            last, number = time, number + 1
        self._check_end(number, end, broken)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Any:
        path = self.source
        if not os.path.exists(str(path)):
            raise InputError("video", path, "no such file", _REMEDY)
        if os.path.isdir(str(path)):
            raise InputError("video", path, "a folder, not a video", _REMEDY)
        try:
            container = self._av.open(str(path))
        except Exception as error:  # FFmpeg's errors are of many kinds, some of them OSErrors
            problem = f"not a readable video ({_reason(error)})"
            raise InputError("video", path, problem, _REMEDY) from error
        if container.format.name in _NOT_VIDEOS:
            container.close()
            raise InputError("video", path, "a text, not a video", _REMEDY)
        return container

    def _open_camera(self, number: int) -> Any:
        kind, name = _CAMERAS.get(sys.platform, (None, ""))
        remedy = "Plug one in, give the number of another, or give a file"
        if kind is None:
            raise InputError("video", number, f"no cameras on {sys.platform}", "Give a file")
        try:
            return self._av.open(name.format(number), format=kind)
        except Exception as error:  # as above
            problem = f"no such camera ({_reason(error)})"
            raise InputError("video", number, problem, remedy) from error

    def _decode(self, broken: list[Exception]) -> Iterator[Any]:
        """Yield what can be decoded, and note what cannot."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                return
            except self._av.InvalidDataError as error:
                broken.append(error)
            except (self._av.FFmpegError, OSError) as error:  # the file itself ends
                broken.append(error)
                return
            else:
                yield from (frame for frame in frames if not frame.is_corrupt)

    def _check_end(self, number: int, end: float, broken: list[Exception]) -> None:
        """Say what is missing of a file that has been read."""
        length = self._length()
        remedy = "Give an intact file if you want the rest"
        if number == 0:
            raise InputError("video", self.source, "not one frame of it can be read", _REMEDY)
        if length is not None and end < length - max(_SLACK, 0.01 * length):
            problem = f"breaks off after {end:.1f} of {length:.1f} s"
            raise InputError("video", self.source, problem, remedy)
        if broken:
            problem = f"{len(broken)} of its parts cannot be read ({_reason(broken[0])})"
            raise InputError("video", self.source, problem, remedy)

    def _length(self) -> float | None:
        """Return the seconds that the pictures should last, as the file says."""
        if self.is_camera:
            return None
        if self._container.format.name == "avi" and self.count is not None:
            # Cut off, it has lost its index: FFmpeg guesses its duration, the header counts frames.
            return self.count / float(self._stream.average_rate or _RATE)
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        # That of the whole file, which the sound might outlast.
        alone = len(self._container.streams) == 1 and self._container.duration is not None
        return self._container.duration / self._av.time_base if alone else None


def _is_cover(av: Any, stream: Any) -> bool:
    """Return whether a stream is the picture on the cover of a song."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _upright(frame: Any) -> Image.Image:
    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    method = _UPRIGHT.get(round(frame.rotation) % 360)
    return picture if method is None else picture.transpose(method)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)[:200]
