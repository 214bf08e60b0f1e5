"""A person through a video as a file."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from bilayer_graph.body import axis_angle_to_matrix
from bilayer_graph.errors import InputError
from bilayer_graph.render.motion import even_frames
from bilayer_graph.video import Track


def make_track(count=5):
    draw = np.random.default_rng(0)
    turns = torch.from_numpy(draw.normal(size=(count, 24, 3)).astype(np.float32))
    frames = np.arange(count) + (np.arange(count) > 2)  # one frame is missing
    return Track(
        frames=frames,
        times=frames / 25,
        rotations=axis_angle_to_matrix(turns).numpy(),
        betas=draw.normal(size=10).astype(np.float32),
        translation=draw.normal(size=(count, 3)).astype(np.float32),
        joints=draw.normal(size=(count, 12, 3)).astype(np.float32),
        keypoints=draw.normal(size=(count, 17, 3)).astype(np.float32),
        focal=500.0,
        centre=np.array([320, 240], np.float32),
    )


def test_a_track_comes_back_from_its_file(tmp_path):
    track = make_track()
    track.save(tmp_path / "track.npz")
    again = Track.load(tmp_path / "track.npz")
    for field in fields(Track):
        value = getattr(track, field.name)
        np.testing.assert_allclose(getattr(again, field.name), value, atol=1e-5)
    assert repr(again) == "Track(5 frames, 0.00 to 0.20 s)"


def test_fields_as_amass_has_them(tmp_path):
    track = make_track()
    track.save(tmp_path / "track.npz")
    file = np.load(tmp_path / "track.npz")
    assert file["poses"].shape == (5, 72)
    turns = axis_angle_to_matrix(torch.from_numpy(file["poses"]).view(5, 24, 3))
    np.testing.assert_allclose(turns.numpy(), track.rotations, atol=1e-5)
    assert str(file["gender"]) == "neutral"
    assert float(file["mocap_framerate"]) == pytest.approx(25)


@pytest.mark.parametrize("rate", [10, 24, 25, 29.97])
def test_the_rate_has_no_rounding_error(rate):
    """Of 24.999... programs take 24."""
    times = np.arange(50) / rate
    track = replace(make_track(50), frames=np.arange(50), times=times)
    assert track.frame_rate == rate
    assert even_frames(times, track.rotations, track.translation)[0] == rate


def test_bad_files(tmp_path):
    (tmp_path / "text.npz").write_text("no")
    np.savez(tmp_path / "other.npz", poses=np.zeros((1, 72)))
    for name in ("no.npz", "text.npz", "other.npz"):
        with pytest.raises(InputError, match=f"{name}: no track of a video"):
            Track.load(tmp_path / name)
    with pytest.raises(InputError, match="cannot be written"):
        make_track().save(tmp_path / "no" / "track.npz")
