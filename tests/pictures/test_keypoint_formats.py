"""Keypoint files of public tools, small ones written anew, all of the same person."""

import json
import re

import numpy as np
import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.pictures import JOINT_ORDERS, KeypointFile, limbs, read_keypoints


def words(text):
    return text.split()


# The orders as their makers publish them, written out here anew.
COCO = words("""nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow
right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle
right_ankle""")
HALPE = [
    *COCO,
    *words("""head neck hip left_big_toe right_big_toe left_small_toe right_small_toe
left_heel right_heel"""),
]
WHOLE = [
    *COCO,
    *words("""left_big_toe left_small_toe left_heel right_big_toe right_small_toe
right_heel"""),
    *["-"] * 110,
]
MPII = words("""right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax
upper_neck head_top right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist""")
CROWD = words("""left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip
right_hip left_knee right_knee left_ankle right_ankle head neck""")
OPENPOSE_18 = words("""nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow
left_wrist right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye
right_ear left_ear""")
OPENPOSE_15 = words("""head neck right_shoulder right_elbow right_wrist left_shoulder left_elbow
left_wrist right_hip right_knee right_ankle left_hip left_knee left_ankle chest""")
MEDIAPIPE = words("""nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye
right_eye_outer left_ear right_ear left_mouth right_mouth left_shoulder right_shoulder left_elbow
right_elbow left_wrist right_wrist left_pinky right_pinky left_index right_index left_thumb
right_thumb left_hip right_hip left_knee right_knee left_ankle right_ankle left_heel right_heel
left_foot_index right_foot_index""")
WRITTEN = {
    "coco": COCO,
    "halpe26": HALPE,
    "openpose15": OPENPOSE_15,
    "openpose18": OPENPOSE_18,
    "mpii": MPII,
    "crowdpose": CROWD,
    "mediapipe": MEDIAPIPE,
}
SIZE = (400, 300)


def place(name):
    """A place for every joint; those that nobody asks for lie together."""
    number = COCO.index(name) if name in COCO else 20
    return [30.0 + 17 * number, 280.0 - 11 * number]


def pairs(order):
    return [place(name) for name in order]


def flat(order, score=0.8):
    return [value for name in order for value in (*place(name), score)]


def expected(order, score=0.8):
    return torch.tensor(
        [[*place(name), score] if name in order else [0.0, 0.0, 0.0] for name in COCO]
    )


def mmpose(order, score=0.8):
    box = {"bbox": [[1.0, 2.0, 3.0, 4.0]], "bbox_score": 0.9}
    return {"keypoints": pairs(order), "keypoint_scores": [score] * len(order), **box}


def meta(order):
    return {
        "dataset_name": "some",
        "num_keypoints": len(order),
        "keypoint_id2name": {str(i): name for i, name in enumerate(order)},
        "keypoint_colors": {"__ndarray__": [[0, 0, 0]], "dtype": "uint8", "shape": [1, 3]},
    }


def cmu(order):
    return {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(order)}]}


def marks(order=MEDIAPIPE, score=0.8):
    shares = (np.array(pairs(order)) / SIZE).tolist()
    return [{"x": x, "y": y, "z": -0.1, "visibility": score, "presence": 1.0} for x, y in shares]


def mpii(order=MPII, **more):
    joints = [[x + 1, y + 1] for x, y in pairs(order)]
    return {"joints": joints, "joints_vis": [1] * len(order), "scale": 1.0, **more}


def ultralytics(order=COCO, **more):
    x, y = np.array(pairs(order)).T.tolist()
    keypoints = {"x": x, "y": y, "visible": [0.8] * len(order), **more}
    box = {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}
    return {"name": "person", "class": 0, "confidence": 0.9, "box": box, "keypoints": keypoints}


def yolo(order=COCO, columns=3, after=()):
    shares = np.array(pairs(order)) / SIZE
    joints = np.column_stack([shares, np.full(len(order), 0.8)])[:, :columns]
    values = [0, 0.5, 0.5, 0.2, 0.4, *joints.flatten(), *after]
    return " ".join(f"{value:.9g}" for value in values)


def instances(order=COCO):
    return [{"image_id": 5, "category_id": 0, "score": 0.9, "keypoints": flat(order)}]


def category(order):
    return {
        "images": [{"id": 5, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "person", "keypoints": order}],
        "annotations": [{"image_id": 5, "category_id": 1, "keypoints": flat(order)}],
    }


# What a file holds, the order of its joints and, where it has no names, what a user says they are.
FILES = {
    "MMPose, instance_info": ({"meta_info": meta(COCO), "instance_info": [mmpose(COCO)]}, COCO),
    "MMPose, Halpe": ({"meta_info": meta(HALPE), "instance_info": [mmpose(HALPE)]}, HALPE),
    "MMPose, MPII": ({"meta_info": meta(MPII), "instance_info": [mmpose(MPII)]}, MPII),
    "MMPose, a frame": (
        {
            "meta_info": meta(CROWD),
            "instance_info": [{"frame_id": 1, "instances": [mmpose(CROWD)]}],
        },
        CROWD,
    ),
    "MMPose, a list": ([mmpose(COCO)], COCO),
    "MMPose, a list in a list": ([[mmpose(COCO)]], COCO),
    "MMPose, a list of frames": ([{"frame_id": 0, "instances": [mmpose(COCO)]}], COCO),
    "MMPose, a nameless list": ([mmpose(WHOLE)], COCO, "wholebody"),
    "MMPose, nameless meta_info": ({"instance_info": [mmpose(CROWD)]}, CROWD, "crowdpose"),
    "Halpe-26": ([{"image_id": "a.jpg", "keypoints": flat(HALPE)}], HALPE, "halpe26"),
    "Halpe-136": ([{"keypoints": flat([*HALPE, *["-"] * 110])}], HALPE, "halpe136"),
    "COCO-WholeBody": ([{"keypoints": flat(WHOLE)}], COCO, "wholebody"),
    "AlphaPose": ([{"image_id": "a.jpg", "keypoints": flat(COCO), "score": 2.9}], COCO),
    "AlphaPose, cmu": ({"a.jpg": cmu(OPENPOSE_18)}, OPENPOSE_18),
    "AlphaPose, cmu, one picture": (cmu(OPENPOSE_18), OPENPOSE_18),
    "AlphaPose, open": (
        {"a.jpg": {"version": "v", "people": [{"pose_keypoints_2d": flat(OPENPOSE_18)}]}},
        OPENPOSE_18,
    ),
    "OpenPose of old": (
        {"version": 0.1, "people": [{"pose_keypoints": flat(OPENPOSE_18), "face_keypoints": []}]},
        OPENPOSE_18,
    ),
    "OpenPose, MPI": ({"people": [{"pose_keypoints": flat(OPENPOSE_15)}]}, OPENPOSE_15),
    "Ultralytics": ([ultralytics()], COCO),
    "Ultralytics, CrowdPose": ([ultralytics(CROWD)], CROWD, "crowdpose"),
    "CrowdPose": (category(CROWD), CROWD),
    "CrowdPose, results": ([{"keypoints": flat(CROWD)}], CROWD, "crowdpose"),
    "MPII, results": ([{"keypoints": flat(MPII)}], MPII, "mpii"),
    "Detectron2, results": (instances(), COCO),
    "Detectron2, predictions": ([{"image_id": 5, "instances": instances()}], COCO),
    "Detectron2, instances": (
        {"pred_keypoints": [np.reshape(flat(COCO), (17, 3)).tolist()], "scores": [0.9]},
        COCO,
    ),
    "Detectron2, within": ({"instances": {"pred_keypoints": [flat(COCO)]}}, COCO),
    "Detectron2, dataset": (
        [{"file_name": "a/b.jpg", "image_id": 5, "annotations": [{"keypoints": flat(COCO)}]}],
        COCO,
    ),
}


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


def refused(path, *parts, **arguments):
    with pytest.raises(InputError) as error:
        read_keypoints(path, **arguments)
    message = str(error.value)
    for part in parts:
        assert part in message
    assert len(message) < 1000
    assert "\n" not in message
    return message


@pytest.mark.parametrize("what", FILES)
def test_files_of_tools(write, what):
    content, order, *joints = FILES[what]
    found = read_keypoints(write(content), joints=joints[0] if joints else None)
    torch.testing.assert_close(found, expected(order)[None])
    if joints:
        count = len(JOINT_ORDERS[joints[0]])
        refused(write(content), f"has {count} joints, expected 17", f"--joints {joints[0]}")


def test_the_orders_as_published():
    for name, order in WRITTEN.items():
        assert list(JOINT_ORDERS[name]) == order
    assert list(JOINT_ORDERS["wholebody"][:23]) == WHOLE[:23]
    assert list(JOINT_ORDERS["halpe136"][:26]) == HALPE
    lengths = {name: len(order) for name, order in JOINT_ORDERS.items()}
    assert (lengths["wholebody"], lengths["halpe136"]) == (133, 136)
    assert all(len(set(order)) == len(order) for order in JOINT_ORDERS.values())


def test_a_user_says_the_joints_of_arrays(write):
    joints = np.column_stack([pairs(HALPE), np.full(26, 0.8)])
    path = write(joints, "a.npy")
    torch.testing.assert_close(read_keypoints(path, joints="halpe26"), expected(HALPE)[None])
    refused(path, "26 joints", "joints=halpe26")
    file = KeypointFile.of_array(joints, "halpe26")
    torch.testing.assert_close(file.people().keypoints, expected(HALPE)[None])
    refused(path, "has 26 joints, expected 16", joints="mpii")
    refused(path, "joints=h36m", "coco, limbs, wholebody, halpe26", "mediapipe", joints="h36m")


@pytest.mark.parametrize("content", [FILES["MMPose, MPII"][0], category(CROWD), [mpii()]])
def test_files_that_say_their_joints_need_no_word(write, content):
    refused(write(content), "joints=mpii", "says itself", "Leave it out", joints="mpii")


def test_a_word_for_names_that_say_nothing(write):
    content = category(COCO)
    content["categories"][0]["keypoints"] = [f"kp{i}" for i in range(17)]
    refused(write(content), "kp0, kp1, kp2", "--joints NAME")
    torch.testing.assert_close(read_keypoints(write(content), joints="coco"), expected(COCO)[None])


def test_mpii_counts_pixels_from_one(write):
    content = [mpii(image="a.jpg"), mpii(image="b.jpg"), mpii(image="a.jpg")]
    content[1]["joints"][0], content[1]["joints_vis"][0] = [-1, -1], 0
    file = KeypointFile.load(write(content))
    assert file.people("a.jpg").rows == (0, 1)
    torch.testing.assert_close(file.people("a.jpg").keypoints[0], expected(MPII, 1.0))
    found = file.people("b.jpg").keypoints[0]
    assert found[:, 2].tolist() == [float(name in MPII[1:]) for name in COCO]


def test_frames_are_pictures_by_their_number(write):
    frames = [
        {"frame_id": i, "instances": [mmpose(COCO, 0.5 + 0.1 * k) for k in range(i)]}
        for i in range(3)
    ]
    for content in (frames, {"meta_info": meta(COCO), "instance_info": frames}):
        file = KeypointFile.load(write(content))
        assert len(file.people("000002.png").rows) == 2
        torch.testing.assert_close(file.people("1.jpg").keypoints[0], expected(COCO, 0.5))
        with pytest.raises(InputError, match="no person of 0 in it"):
            file.people("0.jpg")


@pytest.mark.parametrize("form", ["cmu", "open", "list"])
def test_pictures_of_alphapose_have_names(write, form):
    scores = {"one.jpg": 0.5, "two.png": 0.7}
    if form == "list":
        content = [{"image_id": name, "keypoints": flat(COCO, s)} for name, s in scores.items()]
    elif form == "cmu":
        content = {
            name: {"bodies": [{"joints": flat(OPENPOSE_18, s)}]} for name, s in scores.items()
        }
    else:
        content = {
            name: {"people": [{"pose_keypoints_2d": flat(OPENPOSE_18, s)}]}
            for name, s in scores.items()
        }
    file = KeypointFile.load(write(content))
    for name, score in scores.items():
        torch.testing.assert_close(file.people(name).keypoints[0], expected(COCO, score))


def test_sizes_in_files_are_compared(write):
    dataset = FILES["Detectron2, dataset"][0]
    dataset = [{**dataset[0], "width": 400, "height": 300}]
    halpe = category([])
    halpe["images"][0].update(width=400, height=300)
    halpe["annotations"][0]["keypoints"] = flat(HALPE)
    for content, joints in ((dataset, None), (halpe, "halpe26")):
        path = write(content)
        found = read_keypoints(path, image_size=SIZE, joints=joints)
        torch.testing.assert_close(found, expected(COCO)[None])
        refused(path, "400 x 300", "401 x 300", image_size=(401, 300), joints=joints)


@pytest.mark.parametrize(
    "content",
    [
        {"landmarks": [marks()], "worldLandmarks": [marks()]},
        {
            "pose_landmarks": [marks()],
            "pose_world_landmarks": [marks()],
            "segmentation_masks": None,
        },
        {"poseLandmarks": marks()},
        {"pose_landmarks": {"landmark": marks()}},
        {"landmark": marks()},
        [{"landmark": marks()}],
        [marks()],
        marks(),
    ],
    ids=["JavaScript", "Python", "older JS", "holistic", "protobuf", "protobufs", "bare", "one"],
)
def test_mediapipe(write, content):
    with pytest.warns(UserWarning, match="shares of the picture's size.* 400 x 300 pixels"):
        found = read_keypoints(write(content), image_size=SIZE)
    torch.testing.assert_close(found, expected(MEDIAPIPE)[None])
    refused(write(content), "shares of the picture's size", "Give image_size")


def test_several_of_mediapipe_and_nobody(write):
    path = write({"landmarks": [marks(), marks(score=0.5)]})
    with pytest.warns(UserWarning, match="shares"):
        found = read_keypoints(path, image_size=SIZE)
    torch.testing.assert_close(found, torch.stack([expected(COCO), expected(COCO, 0.5)]))
    for nobody in ({"landmarks": []}, {"pose_landmarks": None}):
        refused(write(nobody), "no person in it")
    unseen = [{"x": mark["x"], "y": mark["y"]} for mark in marks()]
    with pytest.warns(UserWarning, match="shares"):
        found = read_keypoints(write({"landmarks": [unseen]}), image_size=SIZE)
    torch.testing.assert_close(found, expected(COCO, 1.0)[None])


@pytest.mark.parametrize("after", [(), (0.9,), (0.9, 3)])
@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("joints", [None, "crowdpose", "halpe26"])
def test_yolo_lines(write, columns, after, joints):
    order = WRITTEN[joints or "coco"]
    path = write("\n\n".join([yolo(order, columns, after)] * 2) + "\n", "labels.txt")
    with pytest.warns(UserWarning, match="shares of the picture's size.* 400 x 300 pixels"):
        found = read_keypoints(path, image_size=SIZE, joints=joints)
    score = 0.8 if columns == 3 else 1.0
    torch.testing.assert_close(found, expected(order, score).expand(2, 17, 3))
    refused(path, "Give image_size", joints=joints)


def test_yolo_lines_that_are_not_ours(write):
    for text, part in {
        yolo(CROWD): "has 14 joints, expected 17",
        "0 0.5 0.5 0.2 0.4": "has 0 joints",
        "a person on a street": "no line of numbers",
        "{}": "no line of numbers",
        "": "no person in it",
        yolo().rsplit(" ", 1)[0] + " nan": "not finite",
        "\n".join([yolo()] * 1001): "1001 people in one picture",
    }.items():
        refused(write(text, "a.txt"), part, image_size=SIZE)
    assert "--joints crowdpose" in refused(write(yolo(CROWD), "a.txt"), image_size=SIZE)
    pixels = " ".join(["0 200 150 50 90", *(f"{x} {y} 2" for x, y in pairs(COCO))])
    refused(write(pixels, "a.txt"), "coordinates beyond 10", "Divide them", image_size=SIZE)
    (write("", "b.txt")).write_bytes(b"\xff\xd8\xff")
    refused(write("", "b.txt").parent / "b.txt", "keypoints=", image_size=SIZE)


def test_ultralytics_puts_unseen_joints_at_the_corner(write):
    content = ultralytics()
    content["keypoints"]["x"][9] = content["keypoints"]["y"][9] = 0.0
    found = read_keypoints(write([content]))[0]
    assert found[9].tolist() == [0, 0, 0]
    del content["keypoints"]["visible"]
    found = read_keypoints(write([content]))[0]
    assert found[:, 2].tolist() == [float(i != 9) for i in range(17)]
    box = {"name": "person", "class": 0, "confidence": 0.9}
    with pytest.warns(UserWarning, match="person 0 has no keypoints"):
        assert len(read_keypoints(write([box, content]))) == 1


def test_shares_that_no_format_says_are_not_guessed(write):
    content = ultralytics()
    content["keypoints"]["x"] = [x / SIZE[0] for x in content["keypoints"]["x"]]
    content["keypoints"]["y"] = [y / SIZE[1] for y in content["keypoints"]["y"]]
    openpose = [value / 400 if i % 3 < 2 else value for i, value in enumerate(flat(OPENPOSE_18))]
    for shares in ([content], {"people": [{"pose_keypoints_2d": openpose}]}):
        refused(write(shares), "normalised coordinates", "multiply", image_size=SIZE)


BAD = {
    "MMPose without scores": ([{"keypoint_scores": None, "keypoints": pairs(COCO)}], "x, y, conf"),
    "MMPose with a score too few": (
        [{"keypoint_scores": [0.5] * 16, "keypoints": pairs(COCO)}],
        "not a list of x, y, confidence",
    ),
    "MMPose in three dimensions": (
        [{"keypoint_scores": [0.5] * 17, "keypoints": [[1, 2, 3]] * 17}],
        "not a list of x, y, confidence",
    ),
    "MMPose without a list": ({"meta_info": {}, "instance_info": 3}, "no person in it"),
    "MMPose of hands": (
        {"meta_info": meta(["wrist", "thumb1"]), "instance_info": [mmpose(["wrist", "thumb1"])]},
        "joints named wrist, thumb1",
    ),
    "MMPose with broken names": (
        {"meta_info": {"keypoint_id2name": {"7": "nose"}}, "instance_info": [mmpose(COCO)]},
        "no list of words",
    ),
    "AlphaPose with 17": (cmu(COCO), "has 17 joints, expected 18"),
    "AlphaPose without joints": ({"a.jpg": {"bodies": [{}]}}, "has no keypoints"),
    "AlphaPose without a list": ({"bodies": 3}, "no person in it"),
    "OpenPose of old, of 17": ({"people": [{"pose_keypoints": flat(COCO)}]}, "25 or 18 or 15"),
    "MediaPipe of a hand": ({"landmarks": [marks()[:21]]}, "has 21 joints, expected 33"),
    "MediaPipe of numbers": ({"landmarks": [[[1, 2]]]}, "has no keypoints"),
    "MediaPipe without a list": ({"landmarks": 3}, "has no keypoints"),
    "MediaPipe of words": ({"landmarks": [[{"x": "a", "y": 1}] * 33]}, "x, y, confidence"),
    "MediaPipe in pixels": ({"landmarks": [[{"x": 99, "y": 9}] * 33]}, "beyond 10"),
    "MPII of 15": ([mpii(MPII[:15])], "has 15 joints, expected 16"),
    "MPII without joints": ([{"joints_vis": [1] * 16}], "has no keypoints"),
    "MPII of words": ([{"joints_vis": [1] * 16, "joints": ["a"] * 16}], "x, y, confidence"),
    "Ultralytics, ragged": ([ultralytics(y=[1.0])], "x, y, confidence"),
    "Ultralytics, a number": ([ultralytics(x=3)], "x, y, confidence"),
    "Ultralytics of 16": ([ultralytics(COCO[:16])], "has 16 joints, expected 17"),
    "Detectron2 of 16": ({"pred_keypoints": [flat(COCO[:16])]}, "has 16 joints, expected 17"),
    "Detectron2 of nobody": ({"pred_keypoints": []}, "no person in it"),
    "Detectron2 of boxes": ([{"image_id": 5, "instances": [{"bbox": [1]}]}], "has no keypoints"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_of_tools(write, what):
    content, part = BAD[what]
    path = write(content)
    message = refused(path, str(path), part, image_size=SIZE)
    assert re.search(r"\. (Give|Name|Say|Mark|Divide|Or) ", message)


def test_one_bad_person_leaves_the_others(write):
    files = {
        "mmpose": [mmpose(COCO), {"keypoints": pairs(COCO), "keypoint_scores": []}, None],
        "ultralytics": [ultralytics(), ultralytics(x=[]), {"keypoints": {"x": 3}}, None],
        "cmu": {"bodies": [{"joints": flat(OPENPOSE_18)}, {"joints": "a"}, None]},
    }
    for content in files.values():
        with pytest.warns(UserWarning, match="left out: person 1 .*; person 2 "):
            found = read_keypoints(write(content))
        torch.testing.assert_close(limbs(found), limbs(expected(COCO))[None])
