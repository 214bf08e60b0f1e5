"""People through the frames of a video: what reads and writes it, who is who, smoothing."""

from bilayer_graph.video.track import Track

__all__ = ["Track"]
