"""A video of drawn frames, which is whole up to the last one whenever it is broken off."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bilayer_graph.errors import not_written
from bilayer_graph.video.library import load_av

# Ticks a second of the times in the file: whole numbers of them for all usual frame rates.
_TICKS = 90_000
# Each packet leaves the encoder with its frame, and fragments end with key frames: what is on the
# disk can be played without an end.
_CODEC, _OPTIONS = "libx264", {"preset": "veryfast", "crf": "21", "tune": "zerolatency", "g": "25"}
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}


class VideoWriter:
    """Writes frames as H.264 in MP4.

    Args:
        path: The file.
        size: Width and height of the frames; the file has them rounded down to even numbers.
        keep: How many frames of the file that is there already stay, before those to come.

    Raises:
        InputError: If the file cannot be written.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], keep: int = 0) -> None:
        self.path = Path(path)
        self.size = size[0] // 2 * 2, size[1] // 2 * 2
        self._av = load_av()
        target = self.path.with_suffix(".partial.mp4") if keep else self.path
        with self._errors():
            self._container = self._av.open(str(target), "w", format="mp4", options=_FRAGMENTS)
            self._stream: Any = self._container.add_stream(_CODEC, options=_OPTIONS)
            self._stream.width, self._stream.height = self.size
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = Fraction(1, _TICKS)
            if keep:
                self._copy(keep)
                os.replace(target, self.path)

    def add(self, picture: Image.Image, time: float) -> None:
        """Write a frame; ``time`` in seconds has to grow.

        Raises:
            InputError: If it cannot be written.
        """
        if picture.size != self.size:
            even = picture.width // 2 * 2, picture.height // 2 * 2
            fits = even == self.size
            picture = picture.crop((0, 0, *even)) if fits else picture.resize(self.size)
        frame = self._av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
        frame.pts, frame.time_base = round(time * _TICKS), Fraction(1, _TICKS)
        with self._errors():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is left.

        Raises:
            InputError: If it cannot be written.
        """
        with self._errors():
            self._container.mux(self._stream.encode())
            self._container.close()

    def _copy(self, keep: int) -> None:
        """Take over frames as they are coded, in the form that the encoder gives them."""
        with self._av.open(str(self.path)) as earlier:
            stream = earlier.streams.video[0]
            change = self._av.bitstream.BitStreamFilterContext("h264_mp4toannexb", stream)
            coded = (packet for packet in earlier.demux(stream) if packet.size)
            for packet in itertools.islice(coded, keep):
                for part in change.filter(packet):
                    part.stream = self._stream
                    self._container.mux(part)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise not_written("video", self.path, error) from error


def count_frames(path: str | Path) -> int:
    """Return how many frames a file has that :class:`VideoWriter` wrote; 0 if there is none."""
    av = load_av()
    try:
        with av.open(str(path)) as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))
    except (av.FFmpegError, OSError, IndexError):
        return 0
