import numpy as np
import pytest
import torch
from bvh import read_bvh
from bvh_samples import HANGING_ARMS, SPREAD_LEGS, T_POSE, Person
from joint_names import TABLES, find_joints
from retarget import retarget, smallest_rotation
from scipy.spatial.transform import Rotation, Slerp

from bilayer_graph.body import SMPL_JOINT_NAMES, SMPL_PARENTS
from bilayer_graph.errors import InputError

INDEX = {name: place for place, name in enumerate(SMPL_JOINT_NAMES)}
LIMBS = [
    (f"{side}_{joint}", f"{side}_{child}")
    for side in ("left", "right")
    for joint, child in [
        ("hip", "knee"),
        ("knee", "ankle"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
    ]
]
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
BACKWARDS = np.diag([-1.0, 1, -1])


def retargeted(tmp_path, person, angles, rest_joints):
    return retarget(read_bvh(person.write(tmp_path / "a.bvh", angles)), rest_joints)


def posed_joints(body, rotations):
    """Joints [F, 24, 3] of the body's own skinning."""
    rotations = rotations.float()
    return body(torch.zeros(len(rotations), 10), rotations[:, 1:], rotations[:, 0]).joints24


def world(rotations):
    """World rotations by joint name, composed by scipy."""
    found = {}
    for joint, (name, parent) in enumerate(zip(SMPL_JOINT_NAMES, SMPL_PARENTS, strict=True)):
        turn = Rotation.from_matrix(rotations[:, joint].numpy())
        found[name] = turn if parent < 0 else found[SMPL_JOINT_NAMES[parent]] * turn
    return found


def assert_same_turns(found, expected):
    np.testing.assert_allclose((found.inv() * expected).magnitude(), 0, atol=1e-7)


@pytest.mark.parametrize("offsets", [T_POSE, SPREAD_LEGS, HANGING_ARMS])
@pytest.mark.parametrize("label", TABLES)
def test_bones_point_where_the_files_do(tmp_path, body, rest_joints, label: str, offsets):
    person = Person(TABLES[label], offsets, "YXZ" if "Mixamo" in label else "ZXY")
    angles = person.random_angles(6, 70)
    rotations = retargeted(tmp_path, person, angles, rest_joints)
    expected = person.world(angles)

    joints = posed_joints(body, rotations)
    for joint, child in LIMBS:
        bone = joints[:, INDEX[child]] - joints[:, INDEX[joint]]
        found = torch.nn.functional.normalize(bone, dim=-1).numpy()
        np.testing.assert_allclose(found, person.direction(expected, joint, child), atol=1e-5)

    found = world(rotations)
    up = person.direction(expected, "spine3", "neck")
    np.testing.assert_allclose(found["spine3"].apply([0, 1, 0]), up, atol=1e-7)
    for name in ("pelvis", "spine3", "neck", "head", "left_collar", "right_ankle"):
        assert_same_turns(found[name], expected[name])
    for name, parent in [("left_foot", "left_ankle"), ("right_hand", "right_wrist")]:
        assert_same_turns(found[name], found[parent])


def test_the_bodys_own_t_pose_is_zero(tmp_path, rest_joints):
    names = TABLES["CMU for Daz"]
    places = rest_joints.numpy()
    offsets = {
        name: tuple(places[joint] - (places[SMPL_PARENTS[joint]] if joint else 0))
        for name, joint in INDEX.items()
    }
    person = Person(names, offsets)
    person.offsets |= offsets  # the right side too: the body is not quite symmetric
    rotations = retargeted(tmp_path, person, np.zeros((1, len(names), 3)), rest_joints)
    np.testing.assert_allclose(rotations[0].numpy(), np.tile(np.eye(3), (24, 1, 1)), atol=1e-6)


def test_hands_follow_the_rest_pose_of_their_arm(tmp_path, rest_joints):
    person = Person(TABLES["Mixamo"], HANGING_ARMS)
    rotations = retargeted(tmp_path, person, np.zeros((1, len(person.joints), 3)), rest_joints)
    fingers = world(rotations)["left_wrist"].apply([1, 0, 0])[0]
    assert fingers[1] < -0.95


def test_conventions_by_hand(tmp_path, body, rest_joints):
    """A quarter turn to the left, and a knee bent by 90 degrees: the shin points backwards."""
    person = Person(TABLES["CMU for Daz"], T_POSE, "XYZ")
    angles = np.zeros((2, len(person.joints), 3))
    angles[1, person.joints.index("pelvis")] = 0, 90, 0
    angles[:, person.joints.index("left_knee")] = 90, 0, 0
    rotations = retargeted(tmp_path, person, angles, rest_joints)
    joints = posed_joints(body, rotations)
    shin = joints[:, INDEX["left_ankle"]] - joints[:, INDEX["left_knee"]]
    shin = torch.nn.functional.normalize(shin, dim=-1)
    torch.testing.assert_close(shin[0], torch.tensor([0.0, 0, -1]), atol=0.15, rtol=0)
    torch.testing.assert_close(shin[1], torch.tensor([-1.0, 0, 0]), atol=0.15, rtol=0)
    left_hip = joints[:, INDEX["left_hip"]]
    assert left_hip[0, 0] > 0.1  # left is +x
    assert left_hip[1, 2] < -0.1  # facing +x, left is -z


@pytest.mark.parametrize("label", ["CMU for Daz", "HumanIK, one spine joint"])
def test_missing_spine_joints_share_the_turn(tmp_path, rest_joints, label: str):
    person = Person(TABLES[label], T_POSE)
    angles = person.random_angles(3, 40)
    found = world(retargeted(tmp_path, person, angles, rest_joints))
    expected = person.world(angles)
    top = 2 if "spine2" in person.names else 3
    for frame in range(3):
        ends = [expected["pelvis"][frame], expected[f"spine{top}"][frame]]
        between = Slerp([0, top], Rotation.concatenate(ends))
        for step in range(1, top):
            assert_same_turns(found[f"spine{step}"][frame], between(step))


@pytest.mark.parametrize("axes", [Z_UP, BACKWARDS, Z_UP @ BACKWARDS])
def test_axes_of_the_file_do_not_matter(tmp_path, rest_joints, axes):
    plain = Person(TABLES["Mixamo"], T_POSE)
    angles = plain.random_angles(5, 60)
    expected = retargeted(tmp_path, plain, angles, rest_joints)
    other = Person(TABLES["Mixamo"], T_POSE, axes=axes)
    turns = Rotation.from_euler("ZXY", angles.reshape(-1, 3), degrees=True)
    basis = Rotation.from_matrix(axes)
    turned = (basis * turns * basis.inv()).as_euler("ZXY", degrees=True).reshape(angles.shape)
    found = retargeted(tmp_path, other, turned, rest_joints)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)


def test_names_may_have_a_namespace_and_other_capitals(tmp_path, rest_joints):
    plain = Person(TABLES["Mixamo"], T_POSE)
    angles = plain.random_angles(2, 60)
    names = {joint: f"mixamorig:{name.upper()}" for joint, name in TABLES["Mixamo"].items()}
    expected = retargeted(tmp_path, plain, angles, rest_joints)
    found = retargeted(tmp_path, Person(names, T_POSE), angles, rest_joints)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("label", TABLES)
def test_each_table_finds_its_own_names(label: str):
    names = [*TABLES[label].values(), "LHipJoint"]
    assert find_joints(names) == {joint: names.index(name) for joint, name in TABLES[label].items()}


def test_unknown_names_are_named():
    names = [name for name in TABLES["CMU for Daz"].values() if name != "lShin"]
    with pytest.raises(InputError, match=r"CMU for Daz it lacks lShin\..*Rename.*Mixamo"):
        find_joints(names)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"left_elbow": (0, 0, 0)}, "left_shoulder to left_elbow has no length"),
        ({"left_elbow": (-27, 0, 0)}, "left_shoulder to left_elbow.*far from a T-pose"),
        ({"left_hip": (0, 0, 0)}, "the line between the hips follows no axis"),
        ({"spine1": (0, 30, 0), "spine2": (0, 0, 30), "spine3": (0, 0, 20)}, "the trunk follows"),
        ({"left_hip": (0, -3, 0)}, "the line between the hips follows no axis"),
        ({name: (30, 0, 0) for name in T_POSE}, "trunk and hips are parallel|follows no axis"),
    ],
)
def test_rest_pose_that_is_no_t_pose(tmp_path, rest_joints, change, problem: str):
    person = Person(TABLES["Mixamo"], T_POSE | change)
    angles = person.random_angles(2, 10)
    with pytest.raises(InputError, match=rf"rest pose.*{problem}.*stands in a T-pose"):
        retargeted(tmp_path, person, angles, rest_joints)


def test_bones_all_along_one_axis_are_no_rest_pose(tmp_path, rest_joints):
    person = Person(TABLES["Mixamo"], T_POSE)
    person.offsets = {name: (30, 0, 0) for name in SMPL_JOINT_NAMES} | {
        "left_hip": (0, 5, 0),
        "right_hip": (0, -5, 0),
    }
    with pytest.raises(InputError, match="far from a T-pose"):
        retargeted(tmp_path, person, person.random_angles(2, 10), rest_joints)


def test_smallest_rotation_is_scipys():
    random = np.random.default_rng(0)
    start, end = random.normal(size=(2, 3))
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    found = smallest_rotation(torch.tensor(start), torch.tensor(end)).numpy()
    np.testing.assert_allclose(found @ start, end, atol=1e-12)
    angle = Rotation.from_matrix(found).magnitude()
    assert angle == pytest.approx(np.arccos(start @ end), abs=1e-9)
