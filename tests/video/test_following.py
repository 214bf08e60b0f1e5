"""`Predictor.video`: frames in, people with numbers out."""

from contextlib import closing

import pytest
import torch
from predictors import keypoints, predictor, someone
from videos import TIMES, mark_of, write_video

from bilayer_graph import Predictor
from bilayer_graph.errors import InputError
from bilayer_graph.pictures import read_image
from bilayer_graph.video import VideoFrame

SIZE = (320, 240)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", size=SIZE)


def walking(image):
    """Two people who change places in the list; nobody in the fourth frame."""
    number = round(float((image[0, 2] > 0.5).sum()) / 4) - 1
    people = [someone(0.9, 5.0 * number), someone(0.8, -60.0)]
    return [] if number == 3 else people[:: -1 if number % 2 else 1]


def test_people_keep_their_numbers(video):
    frames = list(predictor(walking).video(video))
    assert [frame.number for frame in frames] == list(range(8))
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-3)
    assert [mark_of(frame.picture) for frame in frames] == list(range(8))
    assert [len(frame.people) for frame in frames] == [2, 2, 2, 0, 2, 2, 2, 2]
    assert all(frame.error is None for frame in frames)
    middle = float(keypoints()[:, 0].mean())
    for frame in frames:
        if frame.people:
            moved = {n: float(one.keypoints[:, 0].mean()) for n, one in frame.people.items()}
            assert moved[0] == pytest.approx(middle + 5 * frame.number, abs=1e-3)
            assert moved[1] == pytest.approx(middle - 60, abs=1e-3)


def test_people_are_those_of_a_picture(video):
    system = predictor(walking)
    frame = next(iter(system.video(video)))
    alone = system(frame.picture, keypoints().numpy())[0]
    for name in ("joints", "vertices", "body_pose", "betas"):
        torch.testing.assert_close(getattr(frame.people[0], name), getattr(alone, name))


def test_smooth_people_move_less(video):
    def shaking(image):
        number = round(float((image[0, 2] > 0.5).sum()) / 4) - 1
        return [someone(0.9, 4.0 * (number % 2))]

    def path(smooth):
        places = [f.people[0].camera.place for f in predictor(shaking).video(video, smooth)]
        return float(torch.stack(places).diff(dim=0).norm(dim=1).sum())

    assert path(True) < 0.7 * path(False)


def test_a_detector_that_fails_costs_its_frame(video):
    def failing(image):
        if round(float((image[0, 2] > 0.5).sum()) / 4) == 3:
            raise RuntimeError("no")
        return [someone()]

    frames = list(predictor(failing).video(video))
    assert [frame.number for frame in frames if frame.error] == [2]
    assert "RuntimeError: no" in str(frames[2].error)
    assert [sorted(frame.people) for frame in frames] == [[0], [0], [], [0], [0], [0], [0], [0]]


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_frames_found_ahead_are_those_found_in_turns(video, threads):
    """To the bit where both have one thread; torch has its threads back at the end."""
    threads(2)
    ahead = list(predictor(walking).video(video))
    assert torch.get_num_threads() == 2
    threads(1)
    for one, other in zip(ahead, predictor(walking).video(video), strict=True):
        assert one.people.keys() == other.people.keys()
        for number, person in one.people.items():
            assert torch.equal(person.vertices, other.people[number].vertices)


def test_a_video_that_is_left_gives_the_threads_back(video, threads):
    threads(4)
    with closing(predictor(walking).video(video)) as frames:
        assert next(frames).number == 0
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 4


def test_bad_videos_are_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        predictor(walking).video(tmp_path / "no.mp4")


def test_the_package_s_detector_is_given_a_memory(video, monkeypatch):
    system = Predictor.load()
    follower = system.follow()
    assert type(follower.detector).__name__ == "TrackedDetector"
    assert follower.detector.detector is system.detector
    # Each video has a memory of its own.
    assert system.follow().detector is not follower.detector


def test_what_the_detector_sees_is_what_the_model_sees(monkeypatch):
    """Two looks through one network are one, in all frames but those of a search."""
    system, looks = Predictor.load(), []
    encoder = system.model.encoder
    encoder.register_forward_pre_hook(lambda _, inputs: looks.append(len(inputs[0])))
    picture = read_image("examples/sample/person.jpg")
    follower = system.follow()
    first, second = (follower(VideoFrame(i, i / 25, picture)).people[0] for i in range(2))
    assert looks == [1]
    (own,) = system(picture, second.keypoints)
    assert looks == [1, 1]
    # The squares of both looks differ by a tenth.
    apart = (second.joints - own.joints).norm(dim=1).mean()
    assert 0 < apart < 0.01
    assert not torch.equal(first.keypoints, second.keypoints)


def test_another_network_s_looks_are_not_the_model_s():
    system = Predictor.load()
    with torch.no_grad():
        system.detector.refiner.stem.weight.mul_(1.01)
    assert system.follow().detector.patches is None
