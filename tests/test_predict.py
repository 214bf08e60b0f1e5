"""What a user gives to the predictor, and what comes back."""

import copy
import json
import math
import pickle
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from predictors import (
    FOCAL,
    SIZE,
    body_model,
    keypoints,
    known_body,
    picture,
    predictor,
    seen,
    someone,
    tiny_model,
)

import bilayer_graph
from bilayer_graph import Person, Predictor
from bilayer_graph.body import COCO_TO_JOINTS, PerspectiveCamera
from bilayer_graph.errors import InputError
from bilayer_graph.models.lifting import lift
from bilayer_graph.pictures import KeypointFile
from bilayer_graph.predict import NobodyError, choose_device
from bilayer_graph.testing import assert_close

LIMBS = list(COCO_TO_JOINTS)


def numbers_of(person):
    return person.arrays()


def same(one, other):
    for name, values in numbers_of(one).items():
        np.testing.assert_allclose(values, numbers_of(other)[name], 1e-3, 1e-3, err_msg=name)


# A person as a file has it: a picture of the crowd, by rows.
def crowd(count, *spoilt):
    rows = torch.stack([keypoints() + torch.tensor([2.0 * i, 0, 0]) for i in range(count)])
    rows = rows.numpy().copy()
    for row in spoilt:
        rows[row, 5] = np.nan
    return rows


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_a_model_in_another_precision(dtype, tmp_path):
    call = predictor()
    (wanted,) = call(picture(), keypoints())
    call.model = copy.deepcopy(tiny_model()).to(dtype)
    (person,) = call(picture(), keypoints())
    for name in ("joints", "vertices", "free_vertices"):
        got = getattr(person, name)
        assert got.dtype == torch.float32
        assert (got - getattr(wanted, name)).abs().max() < 0.02, name
    person.save(tmp_path)


def test_a_known_person_before_a_known_camera():
    """The shipped weights, given exact keypoints, come back to them."""
    vertices, place = known_body()
    model = Predictor.load(device="cpu", detector=None)
    (person,) = model(picture(), keypoints())
    box = float(person.crop[2])
    expected = seen(body_model().joints(vertices), place)
    off = (person.joints2d - expected).norm(dim=1) / box
    assert off.max() < 0.05
    assert person.camera.focal == pytest.approx(FOCAL, rel=1e-5)
    assert person.camera.centre.tolist() == [160, 120]
    # Depth and size cannot be told apart in a picture: the place is known to their ratio.
    where = person.camera.place / person.camera.place[2]
    assert (where - place / place[2]).abs().max() < 0.03
    # The mesh lies where the person is, and is as tall.
    surface = person.camera.project(person.vertices)
    truth = seen(vertices, place)
    assert ((surface.amin(0) - truth.amin(0)).abs() / box).max() < 0.06
    assert ((surface.amax(0) - truth.amax(0)).abs() / box).max() < 0.06
    height = person.vertices[:, 1].max() - person.vertices[:, 1].min()
    assert height == pytest.approx(float(vertices[:, 1].max() - vertices[:, 1].min()), rel=0.15)


def test_fields():
    (person,) = predictor()(picture(), keypoints())
    assert isinstance(person, Person)
    shapes = {name: list(values.shape) for name, values in numbers_of(person).items()}
    assert shapes == {
        "joints": [12, 3],
        "joints2d": [12, 2],
        "vertices": [6890, 3],
        "free_vertices": [6890, 3],
        "body_pose": [23, 3],
        "global_orient": [3],
        "betas": [10],
        "place": [3],
        "focal": [],
        "centre": [2],
        "crop": [3],
        "keypoints": [17, 3],
        "score": [],
    }
    assert person.body_pose.shape == (23, 3, 3)
    posed = body_model()(
        person.betas[None], person.body_pose[None], person.global_orient[None]
    ).vertices[0]
    assert_close(posed, person.vertices)
    assert isinstance(person.camera, PerspectiveCamera)
    moved = person.joints + person.camera.place
    np.testing.assert_allclose(
        person.joints2d, FOCAL * moved[:, :2] / moved[:, 2:] + torch.tensor(SIZE) / 2, atol=1e-2
    )
    assert (person.score, person.uncertain) == (1.0, False)
    assert "vertices=[6890, 3]" in repr(person)
    # What is kept of a person is of no more than this person.
    assert person.vertices.untyped_storage().nbytes() == 6890 * 3 * 4


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "a b \u00fc.png"
    picture().save(path)
    return path


def test_the_same_picture_in_every_form(stored):
    pixels = np.asarray(picture())
    forms = [
        stored,
        str(stored),
        Image.open(stored),  # not decoded yet
        picture().convert("RGBA"),
        pixels,
        np.asfortranarray(pixels),
        (pixels / 255).astype(np.float16),
        torch.from_numpy(pixels.copy()).permute(2, 0, 1),
        torch.from_numpy(pixels / 255).permute(2, 0, 1).requires_grad_(),
    ]
    for form in forms:
        (person,) = predictor()(form, keypoints())
        assert np.array_equal(np.asarray(person.picture), pixels), type(form)


def test_a_turned_picture_is_upright_in_every_form(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    picture().save(tmp_path / "a.png", exif=exif)
    for form in (tmp_path / "a.png", Image.open(tmp_path / "a.png")):
        (person,) = predictor()(form, keypoints() * torch.tensor([0.7, 1.0, 1]))
        assert person.picture.size == SIZE[::-1]


def coco_file(path, people, name="a.png"):
    rows = [{"image_id": 1, "keypoints": person.flatten().tolist()} for person in people]
    images = [{"id": 1, "file_name": name}]
    path.write_text(json.dumps({"images": images, "annotations": rows}))
    return path


@pytest.mark.filterwarnings("ignore:the matrix subclass")  # there is old code that has them
def test_the_same_keypoints_in_every_form(tmp_path, stored):
    all17, limbs = keypoints(), keypoints()[LIMBS]
    file = coco_file(tmp_path / "k.json", [all17], stored.name)
    np.save(tmp_path / "k.npy", all17.numpy())
    forms = [
        all17,
        all17[:, :2],
        all17.numpy()[None],
        all17.double().requires_grad_(),
        all17.tolist(),
        [all17],
        np.asmatrix(all17.numpy()),
        file,
        str(tmp_path / "k.npy"),
        KeypointFile.load(file),
        KeypointFile.load(file).people(),
    ]
    (first,) = predictor()(stored, all17)
    for form in forms:
        (person,) = predictor()(stored, form)
        same(person, first)
    (person,) = predictor()(stored, limbs)
    same(person, predictor()(stored, limbs[:, :2].numpy())[0])
    assert (person.keypoints[:5] == 0).all()


BAD_PICTURES = {
    "a path that is not": "no.png",
    "a word": 7,
    "none": None,
    "grey": np.zeros((5, 5), np.uint8),
    "channels first": np.zeros((3, 5, 5), np.uint8),
    "no pixels": np.zeros((0, 5, 3), np.uint8),
    "whole numbers": np.zeros((5, 5, 3), np.int64),
    "16 bits": np.zeros((5, 5, 3), np.uint16),
    "yes and no": np.zeros((5, 5, 3), bool),
    "complex": np.zeros((5, 5, 3), complex),
    "objects": np.full((5, 5, 3), None),
    "below 0": np.full((5, 5, 3), -0.5),
    "infinite": np.full((5, 5, 3), np.inf, np.float16),
    "with transparency": np.zeros((5, 5, 4), np.uint8),
    "channels last": torch.zeros(5, 5, 3),
    "8-bit values as floats": torch.full((3, 5, 5), 200.0),
    "above 1": np.full((5, 5, 3), 200.0),
    "nan": np.full((5, 5, 3), np.nan),
    "a batch": torch.zeros(1, 3, 5, 5),
    "a batch of arrays": np.zeros((2, 5, 5, 3), np.uint8),
    "a tensor that is sparse": torch.zeros(3, 5, 5).to_sparse(),
    "a tensor without data": torch.zeros(3, 5, 5, device="meta"),
    "floating-point grey": Image.new("F", (5, 5)),
    "an image without pixels": Image.new("RGB", (0, 5)),
}


@pytest.mark.parametrize("what", BAD_PICTURES)
def test_bad_pictures(what):
    with pytest.raises(InputError, match=r"^image=.*Give|Divide"):
        predictor()(BAD_PICTURES[what], keypoints())


def test_a_picture_that_breaks_off(tmp_path):
    picture().save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:9000])
    says = "image=PIL image, mode RGB: not a readable"
    with Image.open(tmp_path / "a.png") as image, pytest.raises(InputError, match=says):
        predictor()(image, keypoints())


BAD_KEYPOINTS = {
    "nan": keypoints() * math.nan,
    "infinite": keypoints() + math.inf,
    "11 joints": keypoints()[:11],
    "nobody": np.zeros((0, 17, 3)),
    "flat": keypoints().flatten(),
    "one column": keypoints()[:, :1],
    "ragged": [[1, 2, 3], [1, 2]],
    "words": [["a", "b", "c"]] * 17,
    "a number": 5,
    "a record": {"keypoints": 1},
    "complex": keypoints() * 1j,
    "normalised": keypoints() / 320,
    "elsewhere": keypoints() + 5000,
    "scores of 0 to 100": keypoints() * torch.tensor([1, 1, 100]),
    "nothing visible": keypoints() * torch.tensor([1.0, 1, 0]),
    "a file that is not": "no.json",
}


@pytest.mark.parametrize("what", BAD_KEYPOINTS)
def test_bad_keypoints(what):
    with pytest.raises(InputError, match=r"^keypoints=.*(Give|Mark)"):
        predictor()(picture(), BAD_KEYPOINTS[what])


def test_one_bad_person_costs_nobody_else():
    with pytest.warns(UserWarning, match="person 1 has a value that is not finite"):
        people = predictor()(picture(), crowd(3, 1))
    assert len(people) == 2
    for person, row in zip(people, (0, 2), strict=True):
        same(person, predictor()(picture(), crowd(3)[row])[0])
    with pytest.warns(UserWarning, match="left out"):
        results = list(predictor().stream([(picture(), crowd(3, 1))]))
    assert [(r.index, r.count, r.last) for r in results] == [(0, 2, False), (2, 2, True)]


def spoil(row):
    """A model that gives NaN for one of a batch."""

    def call(model, body, crops):
        lifted = lift(model, body, crops)
        lifted.vertices[row] = math.nan
        return lifted

    return call


def test_numbers_that_are_none_cost_one_person(monkeypatch):
    monkeypatch.setattr("bilayer_graph.recovery.bodies.lift", spoil(1))
    with pytest.warns(UserWarning, match="person 1: the model gives no finite numbers"):
        assert len(predictor()(picture(), crowd(3))) == 2
    results = list(predictor().stream([(picture(i), keypoints()) for i in range(3)]))
    assert [result.person is None for result in results] == [False, True, False]
    assert "finite" in str(results[1].error)
    monkeypatch.setattr("bilayer_graph.recovery.bodies.lift", spoil(0))
    with pytest.raises(InputError, match="person 0"):
        predictor()(picture(), keypoints())


def test_a_stream_is_what_single_calls_are():
    pairs = [(picture(i), crowd(1 + i % 3)) for i in range(7)]
    results = list(predictor(batch_size=4).stream(iter(pairs)))
    expected = [(i, k) for i in range(7) for k in range(1 + i % 3)]
    assert [(result.number, result.index) for result in results] == expected
    assert [r.last for r in results] == [k == i % 3 for i, k in expected]
    assert {r.count for r in results if r.number == 5} == {3}
    for number in (0, 5):
        alone = predictor()(*pairs[number])
        for result in results:
            if result.number == number:
                same(result.person, alone[result.index])


def test_a_stream_of_nothing():
    assert list(predictor().stream([])) == []
    assert list(predictor().stream(iter(()))) == []


@pytest.mark.parametrize("what", ["photos/", picture(), None, 5])
def test_one_picture_is_no_stream(what):
    with pytest.raises(InputError, match="list or a generator"):
        predictor().stream(what)


def test_bad_pictures_in_a_stream(tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "folder.jpg").mkdir()
    bad = [
        tmp_path / "text.jpg",
        (tmp_path / "folder.jpg", keypoints()),
        (np.full((5, 5, 3), np.nan), None),
        (picture(), keypoints() * math.nan),
        (picture(), 1, 2),
        "line\nbreak\udc80.jpg",
        [picture(), keypoints()],
    ]
    items = [item for one in bad for item in (one, (picture(), keypoints()))]
    results = list(predictor().stream(items))
    assert [result.number for result in results] == list(range(14))
    for result in results:
        assert (result.person is None) == (result.number % 2 == 0)
        assert result.last
        if result.error is not None:
            assert str(result.error).isprintable()
            str(result.error).encode()


def test_an_error_of_the_source_comes_after_its_pictures():
    def source():
        for number in range(5):
            yield picture(number), keypoints()
        raise RuntimeError("the camera is gone")

    results = predictor().stream(source())
    assert [next(results).number for _ in range(5)] == list(range(5))
    with pytest.raises(RuntimeError, match="the camera is gone"):
        next(results)


def test_a_stream_takes_pictures_as_it_needs_them():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield picture(taken % 5), keypoints()

    results = predictor(batch_size=8).stream(endless())
    assert taken == 0
    for count in range(1, 40):
        assert next(results).person is not None
        assert taken <= count + 8 + 4
    results.close()


def test_memory_does_not_grow_with_people(monkeypatch):
    sizes = []

    def call(model, body, crops):
        sizes.append(len(crops.keypoints))
        return lift(model, body, crops)

    monkeypatch.setattr("bilayer_graph.recovery.bodies.lift", call)
    alive, most = weakref.WeakSet(), 0
    for result in predictor(batch_size=8).stream([(picture(), crowd(30))] * 3):
        alive.add(result.person)
        most = max(most, len(alive))
        del result
    assert max(sizes) == 8
    assert sum(sizes) == 90
    assert most <= 2 * 8


def detects(*people):
    def fake(image):
        assert image.shape == (3, SIZE[1], SIZE[0])
        assert image.dtype == torch.float32
        return list(people)

    return fake


def test_a_detector_of_ones_own():
    people = predictor(detects(someone(0.9), someone(0.7, 30.0, uncertain=True)))(picture())
    assert [person.score for person in people] == [0.9, 0.7]
    assert [person.uncertain for person in people] == [False, True]
    assert people[1].joints2d[:, 0].mean() - people[0].joints2d[:, 0].mean() == pytest.approx(
        30, abs=2
    )

    class Adapter:
        def __call__(self, image):
            return [someone(keypoints=keypoints().double().numpy())]

    assert len(predictor(Adapter())(picture())) == 1


def test_a_detector_sees_large_pictures_shrunk():
    seen = []

    def detector(image):
        seen.append(list(image.shape))
        third = keypoints() * torch.tensor([1 / 3, 1 / 3, 1])
        return [someone(keypoints=third), someone(keypoints=third + torch.tensor([0, 90.0, 0]))]

    large = Image.new("RGB", (9000, 239))
    with pytest.warns(UserWarning, match="person 1 lies outside"):
        (person,) = predictor(detector)(large)
    assert seen == [[3, 80, 3000]]
    assert person.picture.size == large.size
    assert_close(person.keypoints, keypoints())


def test_nobody_there():
    assert predictor(detects())(picture()) == []
    (result,) = predictor(detects()).stream([picture()])
    assert isinstance(result.error, NobodyError)
    assert (result.count, result.last) == (0, True)


def fails(image):
    raise KeyError("weights")


def every_third(image):
    if image[0, 0, 0] < 0.5:
        raise RuntimeError("out of memory")
    return [someone()]


FACE_ALONE = torch.ones(17, 3)
FACE_ALONE[5:, 2] = 0

NONSENSE = {
    "raises": fails,
    "gives nothing": lambda image: None,
    "gives an array": lambda image: np.zeros((1, 17, 3)),
    "gives words": lambda image: ["a person"],
    "gives one person": lambda image: someone(),
    "other joints": detects(someone(keypoints=torch.zeros(5, 3))),
    "nan": detects(someone(keypoints=keypoints() * math.nan)),
    "no keypoints": detects(someone(keypoints=None)),
    "a score that is none": detects(someone(score=math.nan)),
    "far away": detects(someone(shift=1e5)),
    "a face alone": detects(someone(keypoints=keypoints() * FACE_ALONE)),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_detector_that_fails(what):
    with pytest.raises(InputError, match=r"^detector=") as error:
        predictor(NONSENSE[what])(picture())
    assert str(error.value).isprintable()
    (result,) = predictor(NONSENSE[what]).stream([picture()])
    assert str(result.error) == str(error.value)


def test_a_detector_that_fails_on_some_pictures():
    dark, light = Image.new("RGB", SIZE), Image.new("RGB", SIZE, "white")
    results = list(predictor(every_third).stream([light, dark, light, dark, light]))
    assert [result.error is None for result in results] == [True, False, True, False, True]
    assert "RuntimeError: out of memory" in str(results[1].error)


def test_the_detectors_bad_people_are_left_out():
    detector = detects(someone(keypoints=keypoints() * math.nan), someone(0.6), someone(0.5, 1e5))
    with pytest.warns(UserWarning, match="person 0 .*finite.*person 2 lies outside"):
        (person,) = predictor(detector)(picture())
    assert person.score == 0.6


def test_without_a_detector():
    with pytest.raises(InputError, match="nobody looks for them"):
        predictor()(picture())


ARGUMENTS = {
    "field_of_view": [0, 180, math.nan],
    "batch_size": [0],
    "detector": ["yolo", 5],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments_before_anything_is_loaded(name, tmp_path):
    for value in ARGUMENTS[name]:
        with pytest.raises(InputError, match=f"^{name}="):
            Predictor.load(weights=tmp_path / "no", **{name: value})


@pytest.mark.parametrize("device", ["gpu", "cuda:77", "cuda:x", "", "CPU"])
def test_bad_devices(device):
    with pytest.raises(InputError, match=r"^device="):
        choose_device(device)


def test_errors_cross_processes():
    error = InputError("image", "a", "b", "c")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "image=a: b. c."


def test_the_door_is_lazy():
    assert bilayer_graph.Predictor is Predictor
    with pytest.raises(AttributeError, match="no attribute 'Door'"):
        bilayer_graph.Door  # noqa: B018


def test_the_model_is_left_as_it_was():
    before = {name: tensor.clone() for name, tensor in tiny_model().state_dict().items()}
    torch.manual_seed(3)
    expected = torch.get_rng_state()
    predictor()(picture(), keypoints())
    assert torch.equal(torch.get_rng_state(), expected)
    for name, tensor in tiny_model().state_dict().items():
        assert torch.equal(tensor, before[name])
