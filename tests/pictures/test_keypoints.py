import json
import math

import numpy as np
import pytest
import torch

from bilayer_graph.body.joints import JOINT_NAMES
from bilayer_graph.errors import InputError
from bilayer_graph.pictures.keypoints import (
    BOX_MARGIN,
    keypoints_box,
    read_keypoints,
    to_crop,
    to_pixels,
)


def words(text):
    return text.split()


# The orders as their makers publish them, written out here anew.
COCO = words("""nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow
right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle
right_ankle""")
BODY_25 = words("""nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow
left_wrist mid_hip right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye
right_ear left_ear left_big_toe left_small_toe left_heel right_big_toe right_small_toe
right_heel""")
COCO_18 = words("""nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow
left_wrist right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye
right_ear left_ear""")


def place(name, person=0):
    """A place for every joint name, the same in every order."""
    number = sorted(set(COCO + BODY_25 + COCO_18)).index(name)
    return [10.0 + 7 * number + 100 * person, 300.0 - 5 * number, 0.9]


def body(order, person=0):
    return [place(name, person) for name in order]


def flat(order, person=0):
    return [value for joint in body(order, person) for value in joint]


def twelve(person=0, confidence=0.9):
    expected = torch.tensor(body(JOINT_NAMES, person))
    expected[:, 2] = confidence
    return expected


@pytest.fixture
def write(tmp_path):
    def write(content, name="keypoints.json"):
        path = tmp_path / name
        if name.endswith(".npy"):
            np.save(path, content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def same(path, *people, **arguments):
    torch.testing.assert_close(read_keypoints(path, **arguments), torch.stack(people))


def refused(path, *parts, **arguments):
    """The error names the argument, the file, and each of ``parts``; returns it."""
    with pytest.raises(InputError) as error:
        read_keypoints(path, **arguments)
    for part in ("keypoints=", str(path), *parts):
        assert part in str(error.value)
    return str(error.value)


def openpose(*people):
    return {"version": 1.3, "people": [{"pose_keypoints_2d": person} for person in people]}


@pytest.mark.parametrize("order", [BODY_25, COCO_18], ids=["BODY_25", "COCO-18"])
def test_openpose(write, order):
    same(write(openpose(flat(order), flat(order, 1))), twelve(0), twelve(1))


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("order", [JOINT_NAMES, COCO], ids=["12", "17"])
def test_npy(write, order, columns):
    people = np.array([body(order), body(order, 1)], dtype=np.float32)[..., :columns]
    confidence = 0.9 if columns == 3 else 1.0
    same(write(people, "many.npy"), twelve(0, confidence), twelve(1, confidence))
    same(write(people[0], "one.npy"), twelve(0, confidence))


def test_coco_results_keep_their_scores(write):
    rows = [{"image_id": 5, "category_id": 1, "keypoints": flat(COCO, i)} for i in range(2)]
    same(write(rows), twelve(0), twelve(1))
    same(write(rows[0]), twelve(0))
    same(write([{"keypoints": body(COCO)}]), twelve(0))


def annotations(visibility=2):
    """Pictures 7 with one person and 139 with two."""
    images = [
        {"id": 7, "file_name": "train/street.jpg"},
        {"id": 139, "file_name": "000000000139.jpg"},
    ]
    rows = []
    for person, image in enumerate((7, 139, 139)):
        keypoints = np.array(body(COCO, person))
        keypoints[:, 2] = visibility
        rows.append({"image_id": image, "keypoints": keypoints.flatten().tolist()})
    return {"images": images, "annotations": rows}


@pytest.mark.parametrize("name", ["street.jpg", "train/street.jpg", "/far/street.png", "7.png"])
def test_coco_annotations_select_one_picture(write, name):
    same(write(annotations()), twelve(0, 1.0), image_name=name)


def test_coco_annotations_select_several_people(write):
    path = write(annotations())
    same(path, twelve(1, 1.0), twelve(2, 1.0), image_name="000000000139.jpg")


@pytest.mark.parametrize("name", ["000000000139.jpg", "139.png"])
def test_coco_results_select_by_number(write, name):
    path = write(annotations()["annotations"])
    same(path, twelve(1, 1.0), twelve(2, 1.0), image_name=name)


def test_results_select_by_name(write):
    rows = [{"image_id": name, "keypoints": flat(COCO, i)} for i, name in enumerate(("a", "b.jpg"))]
    same(write(rows), twelve(1), image_name="folder/b.jpg")


def test_a_single_picture_needs_no_name(write):
    content = annotations()
    content["images"] = content["images"][:1]
    content["annotations"] = content["annotations"][:1]
    same(write(content), twelve(0, 1.0))
    same(write(content), twelve(0, 1.0), image_name="renamed.jpg")


@pytest.mark.parametrize("name", [None, "park.jpg"])
def test_no_picture_fits(write, name):
    message = refused(write(annotations()), "2 pictures", "139.jpg", image_name=name)
    assert ("park.jpg does not fit" in message) == (name is not None)
    refused(write([{"image_id": [1]}, {"image_id": {}}]), "2 pictures", image_name=name)


def test_two_pictures_of_one_name(write):
    content = annotations()
    content["images"][1]["file_name"] = "val/street.jpg"
    path = write(content)
    refused(path, "street.jpg", image_name="street.jpg")
    same(path, twelve(0, 1.0), image_name="train/street.jpg")


def test_picture_without_people(write):
    content = annotations()
    content["images"].append({"id": 8, "file_name": "empty.jpg"})
    refused(write(content), "no person", image_name="empty.jpg")


def test_coco_visibility(write):
    content = annotations()["annotations"][0]
    keypoints = np.array(content["keypoints"]).reshape(17, 3)
    left_hip, right_hip = COCO.index("left_hip"), COCO.index("right_hip")
    keypoints[left_hip] = 0
    keypoints[right_hip, 2] = 1
    content["keypoints"] = keypoints.flatten().tolist()
    expected = twelve(0, 1.0)
    expected[JOINT_NAMES.index("left_hip")] = 0
    same(write(content), expected)


def test_byte_order_mark(write):
    same(write("\ufeff" + json.dumps(openpose(flat(BODY_25)))), twelve())


def test_a_person_without_visible_joints_is_left_out(write):
    seen, unseen = flat(BODY_25), [0.0] * 75
    with pytest.warns(UserWarning, match="person 0, 2 left out"):
        same(write(openpose(unseen, seen, unseen)), twelve())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("joint", [0, 12])
def test_not_finite(write, value, joint):
    keypoints = flat(COCO)
    keypoints[3 * joint + 1] = value
    refused(write([{"keypoints": keypoints}]), "person 0", "not finite", f"joint {joint}")
    array = np.array([body(COCO), np.reshape(keypoints, (17, 3))])
    refused(write(array, "p.npy"), "person 1", "not finite", f"joint {joint}")


@pytest.mark.parametrize(
    ("content", "found", "allowed"),
    [
        ([{"keypoints": flat(COCO[:16])}], "16 joints", "17"),
        ([{"keypoints": flat(BODY_25)}], "25 joints", "17"),
        ([{"keypoints": []}], "0 joints", "17"),
        (openpose(flat(COCO)), "17 joints", "25 or 18"),
        (np.ones((13, 3)), "13 joints", "12 or 17"),
        (np.ones((2, 25, 2)), "25 joints", "12 or 17"),
    ],
)
def test_wrong_joint_count(write, content, found, allowed):
    name = "p.npy" if isinstance(content, np.ndarray) else "p.json"
    refused(write(content, name), found, f"expected {allowed}")


@pytest.mark.parametrize("score", [-0.5, 12.0])
def test_confidence_out_of_range(write, score):
    keypoints = flat(COCO)
    keypoints[2] = score
    refused(write([{"keypoints": keypoints}]), "confidences", f"{score:g}", "[0, 1]")


def test_nobody_is_visible(write):
    keypoints = np.array(body(COCO))
    keypoints[:, 2] = 0
    refused(write(keypoints, "p.npy"), "invisible")
    refused(write([{"keypoints": [0] * 51}]), "invisible")
    only_face = np.array(body(COCO))
    only_face[5:, 2] = 0
    refused(write(only_face, "face.npy"), "invisible")


def test_box_of_zero_size(write):
    refused(write(np.full((12, 2), 50.0), "p.npy"), "zero size")
    one = np.zeros((12, 3))
    one[4] = [40.0, 50.0, 1.0]
    refused(write(one, "one.npy"), "zero size")
    normalised = np.random.default_rng(0).uniform(-1, 1, (12, 2))
    refused(write(normalised, "n.npy"), "in pixels")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("", "empty.json"),
        ("{'keypoints': 3}", "quotes.json"),
        ("[" * 100_000, "deep.json"),
        ("3", "number.json"),
        ("null", "null.json"),
        ("[]", "list.json"),
        ("[[1, 2, 3]]", "rows.json"),
        ("{}", "object.json"),
        ('{"people": []}', "nobody.json"),
        ('{"people": 3}', "people.json"),
        ('{"people": [{"face_keypoints_2d": []}]}', "face.json"),
        ('{"annotations": []}', "none.json"),
        ('{"annotations": [{"keypoints": "x"}]}', "text.json"),
        ('{"annotations": [{"keypoints": {"x": 1}}]}', "dict.json"),
        ('{"annotations": [{"keypoints": [1, 2]}]}', "pair.json"),
        ('{"annotations": [{"keypoints": null}]}', "nothing.json"),
        ('{"annotations": [{"keypoints": [1e999, 1' + "0" * 400 + ", 1]}]}", "huge.json"),
        ('{"annotations": [{"bbox": [1, 2, 3, 4]}]}', "bbox.json"),
        ('{"annotations": [], "images": [{"id": 3}]}', "unnamed.json"),
        ('{"annotations": [], "images": null}', "no_images.json"),
    ],
)
def test_not_keypoints(write, content, name):
    refused(write(content, name), "Give")


def test_not_a_file(tmp_path):
    refused(tmp_path / "missing.json", "no such file")
    refused(tmp_path, "no such file")


def test_binary_and_text_mixed_up(write, tmp_path):
    (tmp_path / "photo.json").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    refused(tmp_path / "photo.json", "JSON")
    refused(write("{}", "text.txt"), "keypoints")
    (tmp_path / "text.npy").write_text("{}")
    refused(tmp_path / "text.npy", ".npy")
    whole = write(np.ones((12, 3)), "whole.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-40])
    refused(tmp_path / "cut.npy", ".npy")
    (tmp_path / "nothing.npy").write_bytes(b"")
    refused(tmp_path / "nothing.npy", ".npy")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "p.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    refused(tmp_path / "p.npy", "allow_pickle=False")


@pytest.mark.parametrize(
    "array",
    [np.ones(12), np.ones((12, 4)), np.ones((1, 1, 12, 3)), np.full((12, 3), "a"), np.array(3.0)],
    ids=lambda array: str(array.shape),
)
def test_npy_of_another_shape_or_type(write, array):
    refused(write(array, "p.npy"), str(list(array.shape)))


def test_box_surrounds_the_visible_joints():
    person = torch.zeros(12, 3)
    person[3] = torch.tensor([100.0, 50.0, 0.9])
    person[7] = torch.tensor([140.0, 250.0, 0.5])
    person[8] = torch.tensor([900.0, 900.0, 0.1])
    centre, side = keypoints_box(person)
    assert centre.tolist() == [120, 150]
    assert side.item() == pytest.approx(200 * BOX_MARGIN)
    person[:, :2] += torch.tensor([-500.0, 30.0])
    centres, sides = keypoints_box(torch.stack([person, twelve()]))
    assert centres[0].tolist() == [-380, 180]
    assert sides[0] == side
    assert centres[1].tolist() == keypoints_box(twelve())[0].tolist()


@pytest.mark.parametrize("person", [torch.zeros(12, 3), torch.ones(12, 3)])
def test_no_box(person):
    with pytest.raises(InputError, match=r"keypoints=1 of 2 people.*zero size"):
        keypoints_box(torch.stack([twelve(), person]))


def test_crop_coordinates():
    centre, side = torch.tensor([100.0, 60.0]), torch.tensor(80.0)
    corners = torch.tensor([[60.0, 20.0], [140.0, 100.0], [100.0, 60.0], [120.0, 20.0]])
    expected = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [0.5, -1.0]])
    torch.testing.assert_close(to_crop(corners, centre, side), expected)
    torch.testing.assert_close(to_pixels(expected, centre, side), corners)


def test_crop_coordinates_of_a_batch():
    points, centre, side = torch.rand(3, 12, 2), torch.rand(3, 2), torch.rand(3) + 1
    crops = to_crop(points, centre, side)
    loop = [to_crop(*one) for one in zip(points, centre, side, strict=True)]
    torch.testing.assert_close(crops, torch.stack(loop))
    torch.testing.assert_close(to_pixels(crops, centre, side), points)
