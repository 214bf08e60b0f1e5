"""Small videos made on the fly."""

from fractions import Fraction

import av
import numpy as np
from PIL import Image

from bilayer_graph.video import VideoReader

TIMES = (0.0, 0.04, 0.08, 0.2, 0.24, 0.33, 0.37, 0.5)
"""Of the frames of a video of variable frame rate, in seconds."""


def marked(number, size=(64, 48)):
    """A frame that says which it is: white up to that column, in tens, and red below."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : 4 * (number + 1)] = 255
    pixels[size[1] // 2 :, :, 1:] = 0
    return Image.fromarray(pixels)


def mark_of(picture):
    """What :func:`marked` was given."""
    return round(float((np.asarray(picture)[2, :, 0] > 127).sum()) / 4) - 1


def write_video(
    path, times=TIMES, size=(64, 48), codec="libx264", rotation=0, ticks=1000, **options
):
    """Write marked frames at some times, in so many ticks a second."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, ticks)
        stream.options = {"g": "4"}
        if rotation:
            stream.set_display_rotation(rotation)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.asarray(marked(number, size)), format="rgb24")
            frame.pts, frame.time_base = round(ticks * time), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path):
    """Write a file with sound and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path):
    """All frames of a video."""
    with VideoReader(path) as reader:
        return list(reader)
