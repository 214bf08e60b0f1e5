"""The rendered walk: what is said of it is what the video shows."""

import numpy as np
import pytest
import torch
from walk import RATE, SIZE, render_walk

from bilayer_graph.body import BodyModel
from bilayer_graph.video import VideoReader

FRAMES = 3


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    path = tmp_path_factory.mktemp("walk") / "walk.mp4"
    known = render_walk(BodyModel.load(), FRAMES, path)
    with VideoReader(path) as reader:
        return known, list(reader)


def test_frames_and_their_times(walk):
    known, frames = walk
    assert [frame.time for frame in frames] == pytest.approx(np.arange(FRAMES) / RATE, abs=1e-3)
    assert {frame.picture.size for frame in frames} == {SIZE[::-1]}
    assert known.rotations.shape == (FRAMES, 24, 3, 3)
    assert known.joints.shape == (FRAMES, 12, 3)


def test_the_camera_sees_the_joints_where_the_keypoints_are(walk):
    known, _ = walk
    focal = max(SIZE) / 2 / np.tan(np.radians(25))
    moved = known.joints + known.place.unsqueeze(1)
    seen = focal * moved[..., :2] / moved[..., 2:] + torch.tensor(SIZE[::-1]) / 2
    # The right hip is joint 2 of the skeleton and COCO's keypoint 12; regressors differ by 3 cm.
    assert float((seen[:, 2] - known.keypoints[:, 12]).norm(dim=-1).max()) < 8


def test_the_person_is_where_the_keypoints_are(walk):
    """What changes from frame to frame lies around them."""
    known, frames = walk
    first, last = (np.asarray(frames[i].picture).astype(int) for i in (0, -1))
    rows, columns = np.nonzero(np.abs(last - first).sum(-1) > 60)
    low, high = known.keypoints.amin((0, 1)), known.keypoints.amax((0, 1))
    margin = 60
    assert len(rows) > 100
    assert columns.min() > low[0] - margin
    assert columns.max() < high[0] + margin
    assert rows.min() > low[1] - margin
    assert rows.max() < high[1] + margin
