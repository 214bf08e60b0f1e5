"""Files of bodies that are no humans: their skeleton lies in the file."""

import numpy as np
import pytest
from body_samples import smpl_arrays

from bilayer_graph.body import HUMAN, BodyModel, Skeleton, read_body_file
from bilayer_graph.body.skeleton_fields import pack_skeleton
from bilayer_graph.errors import InputError

DOG = Skeleton(("nose", "left_paw", "tail"), ((0, 1), (2, 0)), root=(2, 1))


def dog():
    """A body of 5 skinning joints, 3 shapes and 3 joints of its own."""
    random = np.random.default_rng(0)
    body = {
        "v_template": 50 * random.normal(size=(60, 3)),
        "shapedirs": random.normal(size=(60, 3, 3)),
        "J_regressor": random.dirichlet(np.ones(60), size=5),
        "weights": random.dirichlet(np.ones(5), size=60),
        "kintree_table": np.array([[-1, 0, 0, 2, 3], range(5)]),
        "f": random.integers(0, 60, (90, 3)),
        "joint_regressor": random.dirichlet(np.ones(60), size=3),
    }
    return body | pack_skeleton(DOG)


def load(folder, arrays):
    np.savez(folder / "body.npz", **arrays)
    return BodyModel.load(folder / "body.npz")


def test_a_file_brings_its_skeleton(tmp_path):
    body = load(tmp_path, dog())
    assert body.skeleton == DOG
    assert body.shapedirs.shape == (60, 3, 3)
    assert body.parents == (-1, 0, 0, 2, 3)
    expected = dog()["joint_regressor"] @ dog()["v_template"]
    np.testing.assert_allclose(body.joints(body.v_template), expected, rtol=1e-4, atol=1e-4)


def test_the_skeleton_survives_any_integers(tmp_path):
    wide = {name: dog()[name].astype(">i8") for name in ("bones", "root")}
    assert load(tmp_path, dog() | wide).skeleton == DOG
    assert load(tmp_path, dog() | {"bones": np.zeros((0, 2), int)}).skeleton.bones == ()


def test_a_file_without_names_is_a_human(tmp_path):
    body = load(tmp_path, smpl_arrays() | {"joint_regressor": np.ones((2, 60)) / 60})
    assert body.skeleton == HUMAN
    assert body.joint_regressor.shape == (12, 60)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bones": None}, "lacks the field bones"),
        ({"joint_regressor": None}, "lacks the field joint_regressor"),
        ({"root": np.array([3])}, "the field root names a joint beyond 3"),
        ({"root": np.array([], int)}, "the field root is empty"),
        ({"bones": np.array([[0, -1]])}, "the field bones names a joint beyond 3"),
        ({"bones": np.array([0, 1])}, r"the field bones is int64 \(2,\), not integers any x 2"),
        ({"bones": np.zeros((1, 2))}, "the field bones is float64"),
        ({"joint_names": np.frombuffer(b"a b", np.uint8)}, "has 2 names for 3 joints"),
        ({"joint_names": np.frombuffer(b"a b a", np.uint8)}, "names a joint twice"),
        ({"joint_names": np.frombuffer(b"a b \xff", np.uint8)}, "is no ASCII text"),
        ({"joint_names": np.zeros(3)}, "is no text of bytes"),
        ({"joint_names": np.array("a b c")}, "the field joint_names is not numeric"),
        ({"joint_regressor": np.ones((3, 60))}, "row 0 of the field joint_regressor sums to 60"),
    ],
)
def test_damaged_skeletons(tmp_path, changes, says):
    arrays = {name: value for name, value in (dog() | changes).items() if value is not None}
    np.savez(tmp_path / "body.npz", **arrays)
    with pytest.raises(InputError, match=f"^body=.*{says}"):
        read_body_file(tmp_path / "body.npz")
