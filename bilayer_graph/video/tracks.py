"""From what was recovered frame by frame to one track a person."""

from collections.abc import Iterator

import numpy as np
import torch

from bilayer_graph.body import BodyModel, ReducedBody
from bilayer_graph.video.frame_log import NOBODY
from bilayer_graph.video.smoothing import BodyFilter, BodySizes
from bilayer_graph.video.track import Track


def build_tracks(
    records: np.ndarray, body: BodyModel, smooth: bool = False
) -> Iterator[tuple[int, Track]]:
    """Yield each person's number and track.

    The shape of a track is the mean of its frames; the places go with it, for a body that is larger
    in one frame is also farther away there.

    Args:
        records: Of all frames, as :class:`~bilayer_graph.video.frame_log.FrameLog` has them.
        body: The body that the people have.
        smooth: Whether poses and places are filtered.
    """
    reduced = ReducedBody(body, torch.arange(1)).cpu()
    sizes = BodySizes(reduced)
    numbers = np.unique(records["number"])
    for number in numbers[numbers != NOBODY].tolist():
        yield number, _track(records[records["number"] == number], reduced, sizes, smooth)


def _track(own: np.ndarray, body: ReducedBody, sizes: BodySizes, smooth: bool) -> Track:
    rotations, betas, place = (
        torch.from_numpy(own[name].copy()) for name in ("rotations", "betas", "place")
    )
    shape = betas.mean(0)
    place = place * (sizes(shape) / sizes(betas)).unsqueeze(1)
    if smooth:
        step = BodyFilter()
        frames = zip(own["time"].tolist(), rotations, place, strict=True)
        pairs = [step(*frame) for frame in frames]
        rotations, place = (torch.stack(part) for part in zip(*pairs, strict=True))
    bones = body.place(body.absolute(rotations), shape.expand(len(own), -1))
    return Track(
        frames=own["frame"].copy(),
        times=own["time"].copy(),
        rotations=rotations.numpy(),
        betas=shape.numpy(),
        translation=place.numpy(),
        joints=body.joints(bones).numpy(),
        keypoints=own["keypoints"].copy(),
        focal=float(own["focal"][0]),
        centre=own["centre"][0].copy(),
    )
