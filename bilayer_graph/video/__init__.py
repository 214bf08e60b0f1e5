"""People through the frames of a video: reading and writing it, who is who, smoothing."""

from bilayer_graph.video.following import Follower, FramePeople
from bilayer_graph.video.one_euro import OneEuro
from bilayer_graph.video.reading import VideoFrame, VideoReader
from bilayer_graph.video.smoothing import Smoother
from bilayer_graph.video.track import Track
from bilayer_graph.video.tracker import Tracker
from bilayer_graph.video.tracks import build_tracks
from bilayer_graph.video.writing import VideoWriter

__all__ = [
    "Follower",
    "FramePeople",
    "OneEuro",
    "Smoother",
    "Track",
    "Tracker",
    "VideoFrame",
    "VideoReader",
    "VideoWriter",
    "build_tracks",
]
