"""Smoothing and tracks: one shape, calmer bodies that stay where the picture has them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from predictors import body_model, predictor, someone
from videos import marked

from bilayer_graph.body import ReducedBody, axis_angle_to_matrix
from bilayer_graph.video import FramePeople, Smoother, VideoFrame, build_tracks
from bilayer_graph.video.frame_log import FrameLog
from bilayer_graph.video.smoothing import BodyFilter, BodySizes


@pytest.fixture(scope="module")
def person():
    follower = predictor(lambda image: [someone()]).follow()
    return follower(VideoFrame(0, 0.0, marked(0, (320, 240)))).people[0]


def shaken(person, seed):
    """The same body with other numbers: turned a little, of another size and as much farther."""
    draw = torch.Generator().manual_seed(seed)
    turn = axis_angle_to_matrix(0.1 * torch.randn(3, generator=draw))
    betas = person.betas + 0.5 * torch.randn(10, generator=draw)
    sizes = BodySizes(ReducedBody(body_model(), torch.arange(1)))
    place = person.camera.place * sizes(betas) / sizes(person.betas)
    return replace(
        person,
        global_orient=person.global_orient @ turn,
        betas=betas,
        camera=replace(person.camera, place=place),
    )


def frames_of(person, count=20):
    return [
        FramePeople(i, i / 25, person.picture, {3: shaken(person, i)}, None) for i in range(count)
    ]


def test_what_rests_is_left_alone(person):
    smoother = Smoother(body_model())
    for i in range(3):
        frame = smoother(FramePeople(i, i / 25, person.picture, {0: person}, None))
    same = frame.people[0]
    for name in ("joints", "vertices", "free_vertices", "body_pose", "global_orient", "betas"):
        torch.testing.assert_close(getattr(same, name), getattr(person, name), atol=1e-4, rtol=0)
    torch.testing.assert_close(same.camera.place, person.camera.place)


def test_the_shape_is_the_mean_so_far_and_the_rest_goes_with_it(person):
    smoother, frames = Smoother(body_model()), frames_of(person)
    smooth = [smoother(frame).people[3] for frame in frames]
    betas = torch.stack([frame.people[3].betas for frame in frames])
    torch.testing.assert_close(smooth[-1].betas, betas.mean(0))
    # Depths that only changed with the size do not change any more.
    expected = smooth[-1].camera.place * BodySizes(ReducedBody(body_model(), torch.arange(1)))(
        person.betas
    )
    sizes = BodySizes(ReducedBody(body_model(), torch.arange(1)))
    torch.testing.assert_close(
        expected / sizes(smooth[-1].betas), person.camera.place, atol=2e-3, rtol=2e-3
    )
    joints = body_model().joints(smooth[-1].vertices[None])[0]
    torch.testing.assert_close(smooth[-1].joints, joints)


def test_depth_is_filtered_more_than_its_ray():
    """Two places in turn: what is left of the way between them, along the ray and across."""
    step, turns = BodyFilter(), torch.eye(3).expand(24, 3, 3)
    near, beside = torch.tensor([0.5, -0.2, 4.0]), torch.tensor([0.54, -0.2, 4.0])
    places = [beside * 1.05 if i % 2 else near for i in range(40)]
    found = torch.stack([step(i / 25, turns, place)[1] for i, place in enumerate(places)])
    given = torch.stack(places)
    depth, depths = found[20:, 2].diff().abs().mean(), given[20:, 2].diff().abs().mean()
    ray, rays = (x[20:, 0].div(x[20:, 2]).diff().abs().mean() for x in (found, given))
    assert 0.05 * depths < depth < 0.15 * depths
    assert 0.2 * rays < ray < 0.4 * rays


def test_the_ray_to_who_walks_by_hardly_lags():
    step, turns = BodyFilter(), torch.eye(3).expand(24, 3, 3)
    for i in range(50):
        place = torch.tensor([1.2 * i / 25 - 1, 0.0, 4.0])
        found = step(i / 25, turns, place)[1]
    assert 0 < float(place[0] - found[0]) / 1.2 < 0.02  # seconds


def test_sizes_are_those_of_the_skeleton():
    body = body_model()
    sizes = BodySizes(ReducedBody(body, torch.arange(1)))
    betas = torch.randn(3, 10)
    still = torch.eye(3).expand(3, 24, 3, 3)
    joints = body(betas, still[:, 1:], still[:, 0]).joints24
    bones = joints[:, 1:] - joints[:, list(body.parents[1:])]
    torch.testing.assert_close(sizes(betas), bones.norm(dim=-1).sum(1))


def write_log(path, frames):
    log = FrameLog(path)
    for frame in frames:
        log.add(frame)
    return log


@pytest.mark.parametrize("smooth", [False, True])
def test_tracks_are_what_the_frames_say(tmp_path, person, smooth):
    frames = frames_of(person, 6)
    frames[2] = replace(frames[2], people={})
    frames[4] = replace(frames[4], people={3: frames[4].people[3], 5: person})
    records = write_log(tmp_path / "log", frames).records()
    tracks = dict(build_tracks(records, body_model(), smooth))
    assert sorted(tracks) == [3, 5]
    track = tracks[3]
    assert track.frames.tolist() == [0, 1, 3, 4, 5]
    np.testing.assert_allclose(track.times, track.frames / 25)
    own = [frame.people[3] for frame in frames if frame.people]
    betas = torch.stack([one.betas for one in own]).mean(0)
    np.testing.assert_allclose(track.betas, betas, atol=1e-5)
    np.testing.assert_allclose(track.keypoints[0], person.keypoints)
    sizes, step = BodySizes(ReducedBody(body_model(), torch.arange(1))), BodyFilter()
    for row, one in enumerate(own):
        turns = torch.cat([one.global_orient[None], one.body_pose])
        place = one.camera.place * sizes(betas) / sizes(one.betas)
        if smooth:
            turns, place = step(float(track.times[row]), turns, place)
        np.testing.assert_allclose(track.rotations[row], turns, atol=1e-5)
        np.testing.assert_allclose(track.translation[row], place, atol=1e-4)
        vertices = body_model()(betas[None], turns[None, 1:], turns[None, 0]).vertices
        np.testing.assert_allclose(track.joints[row], body_model().joints(vertices)[0], atol=1e-4)
    assert (track.focal, track.centre.tolist()) == (pytest.approx(person.camera.focal), [160, 120])


def test_a_log_that_breaks_off_within_a_frame(tmp_path, person):
    two = {0: person, 1: person}
    frames = [FramePeople(i, i / 25, person.picture, two, None) for i in range(3)]
    log = write_log(tmp_path / "log", [*frames[:2], replace(frames[2], people={})])
    assert log.finished() == 3
    whole = log.path.read_bytes()
    record = len(whole) // 5
    for kept, finished in ((5, 3), (4, 2), (3.5, 1), (3, 1), (2, 1), (1, 0), (0, 0)):
        log.path.write_bytes(whole[: int(kept * record)])
        assert log.finished() == finished
        log.cut(finished)
        assert len(log.records()) == 2 * finished - (finished == 3)
        log.path.write_bytes(whole)
