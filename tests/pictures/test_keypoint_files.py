import json
import math

import numpy as np
import pytest
import torch

from bilayer_graph.body.joints import JOINT_NAMES
from bilayer_graph.errors import InputError, one_line
from bilayer_graph.pictures import KeypointFile, limbs, read_keypoints
from bilayer_graph.pictures.joint_names import joint_name
from bilayer_graph.pictures.joint_orders import JOINT_ORDERS


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
    """The limbs are those of ``people``; a face is whole or missing."""
    found = read_keypoints(path, **arguments)
    assert found.shape == (len(people), 17, 3)
    torch.testing.assert_close(limbs(found), torch.stack(people))
    return found[:, :5]


def refused(path, *parts, **arguments):
    """The error names the argument, the file, and each of ``parts``; returns it."""
    with pytest.raises(InputError) as error:
        read_keypoints(path, **arguments)
    for part in ("keypoints=", one_line(path), *parts):
        assert part in str(error.value)
    return str(error.value)


def openpose(*people):
    return {"version": 1.3, "people": [{"pose_keypoints_2d": person} for person in people]}


@pytest.mark.parametrize("order", [BODY_25, COCO_18], ids=["BODY_25", "COCO-18"])
def test_openpose(write, order):
    faces = same(write(openpose(flat(order), flat(order, 1))), twelve(0), twelve(1))
    torch.testing.assert_close(faces, torch.tensor([body(COCO[:5], i) for i in range(2)]))


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("order", [JOINT_NAMES, COCO], ids=["12", "17"])
def test_npy(write, order, columns):
    people = np.array([body(order), body(order, 1)], dtype=np.float32)[..., :columns]
    confidence = 0.9 if columns == 3 else 1.0
    faces = same(write(people, "many.npy"), twelve(0, confidence), twelve(1, confidence))
    assert (faces[..., 2] == (0 if order is JOINT_NAMES else torch.tensor(confidence))).all()
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


@pytest.mark.parametrize(
    "name",
    words(r"""street.jpg train/street.jpg /data/train/street.jpg street.png street.JPG
    C:\data\train\street.jpg ./train/street.jpg train//street.webp"""),
)
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


def one_picture(**image):
    content = annotations()
    return {
        "images": [{**content["images"][0], **image}],
        "annotations": content["annotations"][:1],
    }


def test_a_single_picture_needs_no_name(write):
    same(write(one_picture()), twelve(0, 1.0))


@pytest.mark.parametrize("name", ["renamed.jpg", "7.jpg", "street2.jpg", "streets/x.jpg", "jpg"])
def test_a_single_picture_is_not_any_picture(write, name):
    path = write(one_picture())
    refused(path, "1 picture (train/street.jpg)", f"{name} does not fit", image_name=name)
    with pytest.warns(UserWarning, match=r"those of train/street.jpg, taken for"):
        assert len(KeypointFile.load(path).people(name, only=True).rows) == 1


@pytest.mark.parametrize("name", [None, "park.jpg", "7.jpg", "139.png", "9.jpg", ""])
def test_no_picture_fits(write, name):
    message = refused(write(annotations()), "2 pictures", "139.jpg", image_name=name)
    assert ("does not fit" in message) == (name is not None)


def test_two_pictures_of_one_name(write):
    content = annotations()
    content["images"][1]["file_name"] = "val\\street.jpg"
    path = write(content)
    for name in ("street.jpg", "test/street.jpg", "street.png"):
        refused(path, "street.jpg", image_name=name)
    same(path, twelve(0, 1.0), image_name="train/street.jpg")
    same(path, twelve(1, 1.0), twelve(2, 1.0), image_name="/data/val/street.jpg")


def test_a_folder_that_the_file_knows(write):
    content = annotations()
    content["images"][1]["file_name"] = "val/b.jpg"
    path = write(content)
    refused(path, "does not fit", image_name="val/street.jpg")
    with pytest.warns(UserWarning, match="only the folder differs"):
        same(path, twelve(0, 1.0), image_name="photos/street.jpg")


def test_a_picture_beside_is_not_its_twin(write, tmp_path):
    for name in ("street.jpg", "street.png"):
        (tmp_path / name).touch()
    path = write(one_picture())
    with pytest.warns(UserWarning, match="only the folder differs"):
        same(path, twelve(0, 1.0), image_name=tmp_path / "street.jpg")
    refused(path, "street.png does not fit", image_name=tmp_path / "street.png")
    with pytest.raises(InputError, match="does not fit"):
        KeypointFile.load(path).people(tmp_path / "street.png", only=True)
    (tmp_path / "street.jpg").unlink()
    with pytest.warns(UserWarning, match="only the folder differs"):
        same(path, twelve(0, 1.0), image_name=tmp_path / "street.png")


def test_an_id_that_two_pictures_beside_could_be(write, tmp_path):
    path = write([{"image_id": "a", "keypoints": flat(COCO)}])
    (tmp_path / "a.jpg").touch()
    same(path, twelve(), image_name=tmp_path / "a.jpg")
    (tmp_path / "a.PNG").touch()
    for name in ("a.jpg", "a.PNG"):
        refused(path, "does not fit", image_name=tmp_path / name)


@pytest.mark.parametrize("name", ["v1.001", "v1.png", "v1"])
def test_what_is_no_suffix_belongs_to_the_name(write, name):
    rows = [{"image_id": f"v1.00{i}", "keypoints": flat(COCO, i)} for i in range(2)]
    if name == "v1.001":
        same(write(rows), twelve(1), image_name=name)
        same(write(rows), twelve(1), image_name=f"{name}.jpg")
    else:
        refused(write(rows), "does not fit", image_name=name)


@pytest.mark.parametrize(
    "kinds", [(str, int), (int, str), (float, int), (int, float), (str, float)]
)
def test_ids_of_different_kinds(write, kinds):
    content = annotations()
    for image in content["images"]:
        image["id"] = kinds[0](image["id"])
    for row in content["annotations"]:
        row["image_id"] = kinds[1](row["image_id"])
    same(write(content), twelve(0, 1.0), image_name="street.jpg")


@pytest.mark.parametrize("key", [None, True, [7], {"id": 7}, 7.5, math.nan, math.inf, ""])
def test_an_id_that_is_none(write, key):
    content = annotations()
    content["annotations"][2]["image_id"] = key
    with pytest.warns(UserWarning, match="1 people left out that have no usable image_id"):
        same(write(content), twelve(1, 1.0), image_name="000000000139.jpg")


def test_one_id_of_two_pictures(write):
    content = annotations()
    content["images"].append({"id": 7.0, "file_name": "lane.jpg"})
    path = write(content)
    for name in ("street.jpg", "lane.jpg"):
        refused(path, "same id 7", image_name=name)
    same(path, twelve(1, 1.0), twelve(2, 1.0), image_name="000000000139.jpg")
    content["images"][2]["file_name"] = "train/street.jpg"
    same(write(content), twelve(0, 1.0), image_name="street.jpg")


def test_one_name_of_two_ids(write):
    content = annotations()
    content["images"].append({"id": 8, "file_name": "train/street.jpg"})
    refused(write(content), "does not fit exactly one", image_name="street.jpg")


@pytest.mark.parametrize("entry", [None, 3, {}, {"id": 9}, {"file_name": "x.jpg"}, {"id": [1]}])
@pytest.mark.parametrize("name", ["street.jpg"])
def test_a_bad_picture_entry(write, entry, name):
    content = annotations()
    content["images"].insert(0, entry)
    same(write(content), twelve(0, 1.0), image_name=name)


def test_accents_in_two_spellings(write):
    path = write(one_picture(file_name="cafe\u0301.jpg"))
    same(path, twelve(0, 1.0), image_name="caf\u00e9.jpg")


def test_file_names_as_image_ids(write):
    content = annotations()
    for row in content["annotations"]:
        row["image_id"] = "train/street.jpg" if row["image_id"] == 7 else "000000000139.jpg"
    same(write(content), twelve(0, 1.0), image_name="street.jpg")


def test_a_file_is_read_once_for_all_pictures(write, monkeypatch):
    path = write(annotations())
    file = KeypointFile.load(path)
    path.unlink()
    assert file.names_pictures
    assert file.people("street.jpg").rows == (0,)
    assert file.people("000000000139.jpg").rows == (0, 1)
    unnamed = KeypointFile.load(write(openpose(flat(BODY_25)), "person.json"))
    assert not unnamed.names_pictures


@pytest.mark.parametrize(
    ("declared", "size"),
    [
        ((640, 480), (320, 240)),
        ((640, 480), (480, 640)),
        ((640, 480), (641, 480)),
        (("640", "480"), (1, 1)),
    ],
)
def test_the_size_of_another_picture(write, declared, size):
    path = write(one_picture(width=declared[0], height=declared[1]))
    message = refused(path, "640 x 480", f"{size[0]} x {size[1]}", image_size=size)
    assert ("EXIF" in message) == (size == (480, 640))
    same(path, twelve(0, 1.0), image_size=(640, 480))


@pytest.mark.parametrize("width", [None, 0, -640, "wide", math.nan, [640], 10**400])
def test_a_size_that_is_none(write, width):
    same(write(one_picture(width=width, height=480)), twelve(0, 1.0), image_size=(640, 480))


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
    with pytest.warns(UserWarning, match=r"left out: person 0 has all limb .*; person 2 has all"):
        same(write(openpose(unseen, seen, unseen)), twelve())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("joint", [0, 12])
def test_not_finite(write, value, joint):
    keypoints = flat(COCO)
    keypoints[3 * joint + 1] = value
    refused(write([{"keypoints": keypoints}]), "person 0", "not finite", f"joint {joint}")
    array = np.array([body(COCO), np.reshape(keypoints, (17, 3))])
    with pytest.warns(UserWarning, match=f"person 1 has a value .* not finite at joint {joint}"):
        same(write(array, "p.npy"), twelve())


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


@pytest.mark.parametrize("joint", [0, 6])
@pytest.mark.parametrize("score", [-0.003, -0.5, -12.0, 1.0001, 2.7, 4.2, 9.9])
def test_scores_that_stick_out_are_clamped(write, score, joint):
    keypoints, expected = np.array(body(COCO)), np.array(body(COCO))
    keypoints[joint, 2], expected[joint, 2] = score, np.clip(score, 0, 1)
    with pytest.warns(UserWarning, match=r"scores outside of \[0, 1\] are clamped.* person 1"):
        found = read_keypoints(
            write([{"keypoints": body(COCO)}, {"keypoints": keypoints.tolist()}])
        )
    torch.testing.assert_close(found[1], torch.tensor(expected).float())


@pytest.mark.parametrize("score", [12.0, 97.0, 1e6])
def test_scores_of_another_scale(write, score):
    keypoints = flat(COCO)
    keypoints[2] = score
    refused(write([{"keypoints": keypoints}]), "confidences", f"{score:g}", "[0, 1]")
    with pytest.warns(UserWarning, match="person 0 has confidences from 0.9 to"):
        same(write([{"keypoints": keypoints}, {"keypoints": flat(COCO, 1)}]), twelve(1))


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
        ('{"annotations": [{"keypoints": 17}]}', "integer.json"),
        ('{"annotations": [{"keypoints": [1, , 2]}]}', "comma.json"),
        ('{"annotations": [{"keypoints": [1-2]}]}', "minus.json"),
        ('{"annotations": [{"keypoints": [1, 2, 3}]}', "open.json"),
        ('{"annotations": {"keypoints": [1, 2, 3]}, "images": {"id": 7}}', "objects.json"),
        ('[{"keypoints": ' + "[" * 900 + "1" + "]" * 900 + "}]", "nested.json"),
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
    refused(tmp_path / "p.npy", "not a readable .npy")


@pytest.mark.parametrize(
    "array",
    [np.ones(12), np.ones((12, 4)), np.ones((1, 1, 12, 3)), np.full((12, 3), "a"), np.array(3.0)],
    ids=lambda array: str(array.shape),
)
def test_npy_of_another_shape_or_type(write, array):
    refused(write(array, "p.npy"), str(list(array.shape)))


def row(**more):
    return {"image_id": 1, "category_id": 1, **more}


UNUSABLE = {
    "a box without keypoints": row(bbox=[1, 2, 3, 4]),
    "no list": row(keypoints=None),
    "an empty list": row(keypoints=[], num_keypoints=0),
    "a text": row(keypoints="nose"),
    "an object": row(keypoints={"nose": [1, 2, 3]}),
    "a number": row(keypoints=3),
    "zeros": row(keypoints=[0] * 51),
    "20 joints": row(category_id=2, keypoints=[100.0, 90.0, 0.5] * 20),
    "not a multiple of three": row(keypoints=[100.0] * 52),
    "pairs": row(keypoints=[[1.0, 2.0]] * 17),
    "ragged": row(keypoints=[[1.0, 2.0]] * 16 + [[1.0]]),
    "words": row(keypoints=["a"] * 51),
    "NaN": row(keypoints=[math.nan] * 51),
    "one NaN": row(keypoints=[*flat(COCO)[:50], math.nan]),
    "null for numbers": row(keypoints=[None] * 51),
    "infinite": row(keypoints=[*flat(COCO)[:48], math.inf, 3.0, 0.1]),
    "far away": row(keypoints=[*flat(COCO)[:48], 1e30, 3.0, 0.1]),
    "percent": row(keypoints=[[x, y, 80.0] for x, y, _ in body(COCO)]),
    "normalised": row(keypoints=[[x / 1000, y / 1000, 0.9] for x, y, _ in body(COCO)]),
    "outside": row(keypoints=[[x + 5000, y, 0.9] for x, y, _ in body(COCO)]),
    "not an object": None,
    "a list": [1, 2],
}


@pytest.mark.parametrize("what", UNUSABLE)
@pytest.mark.parametrize("last", [False, True])
def test_one_unusable_row_leaves_the_others(write, what, last):
    rows = [row(keypoints=flat(COCO)), row(keypoints=flat(COCO, 1))]
    rows.insert(2 if last else 1, UNUSABLE[what])
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": rows}
    with pytest.warns(UserWarning, match="left out"):
        found = KeypointFile.load(write(content)).people("a.jpg", (640, 480))
    torch.testing.assert_close(limbs(found.keypoints), torch.stack([twelve(0), twelve(1)]))
    if isinstance(UNUSABLE[what], dict):
        assert found.rows == ((0, 1) if last else (0, 2))
        only = {"images": content["images"], "annotations": [UNUSABLE[what]]}
        if "keypoints" in UNUSABLE[what]:
            refused(write(only), "person 0", image_size=(640, 480))


@pytest.mark.parametrize(
    "person", [{"pose_keypoints_2d": []}, {"pose_keypoints_2d": None}, {}, None]
)
def test_an_openpose_person_without_a_body(write, person):
    content = openpose(flat(COCO_18))
    content["people"].append(person)
    with pytest.warns(UserWarning, match="left out: person 1"):
        same(write(content), twelve())


def test_normalised_coordinates(write):
    for seed, low in ((0, -1), (1, 0)):
        people = np.random.default_rng(seed).uniform(low, 1, (17, 2))
        refused(write(people, "n.npy"), "normalised", "in pixels")
    corners = np.tile([[0.0, 0.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]], (3, 1))
    refused(write(corners, "n.npy"), "normalised")


def test_messages_name_the_first_few(write):
    message = refused(write([{"keypoints": [0] * 51}] * 900), "person 2", "and 897 more")
    assert len(message) < 1000
    name = "x" * 10**6 + "\n.jpg"
    message = refused(write(one_picture(file_name=name)), "does not fit", image_name="a.jpg")
    assert len(message) < 1000
    assert "\n" not in message


H36M = words("""root right_hip right_knee right_ankle left_hip left_knee left_ankle spine thorax
neck head left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist""")
MPII = words("""r_ankle r_knee r_hip l_hip l_knee l_ankle pelvis thorax upper_neck head_top r_wrist
r_elbow r_shoulder l_shoulder l_elbow l_wrist""")


def named(names, order, **category):
    """One person whose joints stand in ``order`` and are called ``names``."""
    known = set(COCO)
    joints = [place(joint) if joint in known else [1.0, 2.0, 0.9] for joint in order]
    return {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "person", "keypoints": names, **category}],
        "annotations": [row(keypoints=joints)],
    }


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (H36M, H36M),
        (MPII, [joint_name(name) for name in MPII]),
        (COCO[::-1], COCO[::-1]),
        ([name.replace("_", " ").title() for name in COCO[3:]], COCO[3:]),
        (["kp", *COCO, "extra"], ["kp", *COCO, "extra"]),
    ],
    ids=["Human3.6M", "MPII", "reversed", "spelt otherwise", "19"],
)
def test_names_in_the_file_decide(write, names, order):
    face = same(write(named(names, order)), twelve())[0]
    for joint, name in zip(face, COCO, strict=False):
        expected = place(name) if name in order else [0.0, 0.0, 0.0]
        torch.testing.assert_close(joint, torch.tensor(expected))


ANTELOPE = words("""left_eye right_eye nose neck root_of_tail left_shoulder left_elbow
left_front_paw right_shoulder right_elbow right_front_paw left_hip left_knee left_back_paw right_hip
right_knee right_back_paw""")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (ANTELOPE, "right_ankle"),
        ([f"kp{i}" for i in range(17)], "kp0, kp1, kp2"),
        ([str(i) for i in range(17)], "in the file"),
        ([*COCO[:16], "left_ankle"], "right_ankle"),
        ([*COCO, "LAnkle"], "two joints named left_ankle"),
        (["left", *COCO[6:]], "left_shoulder"),
        (list(range(17)), "no list of words"),
        ({str(i): name for i, name in enumerate(COCO)}, "no list of words"),
        (" ".join(COCO), "no list of words"),
        (COCO[5:], "17 joints, expected 12"),
    ],
)
def test_names_that_are_not_ours(write, names, says):
    refused(write(named(names, COCO)), "person 0", says)


def test_people_beside_animals(write):
    content = named(COCO[::-1], COCO[::-1])
    content["categories"].append({"id": "2", "name": "antelope", "keypoints": ANTELOPE})
    content["annotations"].insert(0, row(category_id=2, keypoints=flat(COCO)))
    with pytest.warns(UserWarning, match="left out.*person 0 has joints named left_eye"):
        same(write(content), twelve())
    content["annotations"] = [row(category_id=3, keypoints=flat(COCO))]
    refused(write(content), "person 0 has category_id 3")
    content["categories"] = content["categories"][:1]
    content["annotations"] = [{"image_id": 1, "keypoints": body(COCO[::-1])}]
    same(write(content), twelve())
    content["categories"].append({"id": 1, "keypoints": COCO})
    content["annotations"] = [row(keypoints=body(COCO))]
    refused(write(content), "person 0 has category_id 1")


@pytest.mark.parametrize("names", [None, []])
def test_a_category_without_names(write, names):
    same(write(named(names, COCO)), twelve())


def test_names_beside_the_keypoints(write):
    same(write({"keypoints": body(MPII_AS_COCO), "keypoint_names": MPII}), twelve())
    refused(write({"keypoints": body(COCO), "keypoint_names": ANTELOPE}), "person 0")


MPII_AS_COCO = [name if name in COCO else "nose" for name in map(joint_name, MPII)]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("LShoulder", "left_shoulder"),
        ("RightAnkle", "right_ankle"),
        ("rightAnkle", "right_ankle"),
        ("wrist.R", "right_wrist"),
        ("l-hip", "left_hip"),
        ("LEFT KNEE", "left_knee"),
        ("REar", "right_ear"),
        ("lear", "left_ear"),
        ("Nose", "nose"),
        ("rear left knee", "rear left knee"),
        ("left_front_knee", "left_front_knee"),
        ("hip", "hip"),
        ("left_hip_2", "left_hip_2"),
        ("", ""),
        ("膝", "膝"),
    ],
)
def test_spellings(written, name):
    assert joint_name(written) == name


def test_the_table_of_orders():
    assert list(JOINT_ORDERS["openpose25"]) == BODY_25
    assert list(JOINT_ORDERS["openpose18"]) == COCO_18
    assert list(JOINT_ORDERS["coco"]) == COCO
    assert all(len(set(order)) == len(order) for order in JOINT_ORDERS.values())


def test_missing_joints_of_an_array_without_confidence(write):
    people = np.array(body(COCO))[:, :2]
    people[[0, 9]] = 0
    found = read_keypoints(write(people, "p.npy"))[0]
    assert found[:, 2].tolist() == [float(i not in (0, 9)) for i in range(17)]


@pytest.mark.parametrize("dtype", [">f8", "<f2", "i2", "u4", "g"])
def test_arrays_of_any_number(write, dtype):
    people = np.round(np.array(body(COCO))).astype(dtype)
    same(
        write(np.asfortranarray(people), "p.npy"), torch.tensor(np.round(body(JOINT_NAMES))).float()
    )


def test_a_film_is_not_a_picture(write):
    refused(write(np.ones((5000, 17, 3)), "film.npy"), "5000 people in one picture")
    refused(write([{"keypoints": [0] * 51}] * 1001), "1001 people in one picture")


def test_a_header_that_promises_too_much(write, tmp_path):
    head = write(np.ones((9, 17, 3)), "p.npy").read_bytes()
    for shape in (b"(9999999, 17, 3)", b"(9**9999, 17, 3)", b"(-9, 17, 3)", b"(True, 17, 3)"):
        (tmp_path / "q.npy").write_bytes(head.replace(b"(9, 17, 3)", shape)[:200])
        refused(tmp_path / "q.npy", ".npy")


def test_an_archive_is_not_an_array(tmp_path):
    np.savez(tmp_path / "p.npz", np.ones((17, 3)))
    (tmp_path / "p.npz").rename(tmp_path / "p.npy")
    refused(tmp_path / "p.npy", "not a readable .npy")


@pytest.mark.parametrize("name", ["k.json", "k.npy"])
def test_too_large_a_file(tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**28 + 1)
    refused(tmp_path / name, "268 MB")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("indent", [None, 2])
def test_spellings_of_json(tmp_path, encoding, indent):
    content = json.dumps({**annotations(), "info": 'keypoints": [1'}, indent=indent)
    (tmp_path / "k.json").write_bytes(content.encode(encoding))
    same(tmp_path / "k.json", twelve(0, 1.0), image_name="street.jpg")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b.json", "no/file.json", "no/file.npy"])
def test_names_that_cannot_be(tmp_path, name):
    refused(tmp_path / name, "no such file")
