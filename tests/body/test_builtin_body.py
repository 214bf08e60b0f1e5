import numpy as np
import pytest
import torch
import trimesh

from bilayer_graph.body import (
    COCO_NAMES,
    SMPL_JOINT_NAMES,
    BodyModel,
    axis_angle_to_matrix,
    read_body_file,
)
from bilayer_graph.body.body_file import BUILTIN_BODY

ARRAYS = read_body_file(BUILTIN_BODY)
COUNTS = {6890: 13776, 1723: 3442, 431: 858}


def level(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of a level as indices into the finest, and its faces."""
    chosen = np.arange(6890)
    for coarser in (1723, 431):
        if count <= coarser:
            chosen = chosen[ARRAYS[f"level_{coarser}_vertices"]]
    return chosen, ARRAYS["f"] if count == 6890 else ARRAYS[f"level_{count}_faces"]


def rest_joint(name: str) -> np.ndarray:
    return (ARRAYS["J_regressor"] @ ARRAYS["v_template"])[SMPL_JOINT_NAMES.index(name)]


def test_file_is_small():
    assert BUILTIN_BODY.stat().st_size < 1_000_000


@pytest.mark.parametrize("count", COUNTS)
def test_levels_are_closed_surfaces_of_genus_0(count: int):
    chosen, faces = level(count)
    assert len(chosen) == len(set(chosen)) == count
    assert len(faces) == COUNTS[count]
    mesh = trimesh.Trimesh(ARRAYS["v_template"][chosen], faces, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.euler_number == 2
    assert mesh.body_count == 1
    _, uses = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    assert len(uses) == 3 * count - 6
    assert (uses == 2).all()
    assert 0.04 < mesh.volume < 0.09


@pytest.mark.parametrize(("fine", "coarse"), [(6890, 1723), (1723, 431)])
def test_up_sampling_is_barycentric_and_keeps_the_chosen_vertices(fine: int, coarse: int):
    index = ARRAYS[f"up_{coarse}_to_{fine}_index"]
    weight = ARRAYS[f"up_{coarse}_to_{fine}_weight"]
    assert index.shape == weight.shape == (fine, 3)
    assert (weight >= 0).all()
    np.testing.assert_allclose(weight.sum(1), 1, atol=1e-6)
    faces = {frozenset(face) for face in ARRAYS[f"level_{coarse}_faces"].tolist()}
    assert all(frozenset(corners) in faces for corners in index.tolist())
    matrix = np.zeros((fine, coarse))
    np.put_along_axis(matrix, index, weight, 1)
    down_up = matrix[ARRAYS[f"level_{coarse}_vertices"]]
    np.testing.assert_allclose(down_up, np.eye(coarse), atol=1e-4)


@pytest.mark.parametrize(
    ("fine", "coarse", "mean", "worst"), [(6890, 1723, 3, 40), (1723, 431, 8, 75)]
)
def test_down_and_up_stays_close_on_posed_bodies(posed, fine, coarse, mean, worst):
    vertices = posed[2].vertices[:, level(fine)[0]]
    down = vertices[:, ARRAYS[f"level_{coarse}_vertices"]]
    index = torch.tensor(ARRAYS[f"up_{coarse}_to_{fine}_index"])
    weight = torch.tensor(ARRAYS[f"up_{coarse}_to_{fine}_weight"])
    error = 1000 * ((down[:, index] * weight[..., None]).sum(2) - vertices).norm(dim=-1)
    assert error.mean() < mean
    assert error.max() < worst


def test_skinning_weights():
    weights = ARRAYS["weights"]
    assert (weights >= 0).all()
    assert (weights.sum(1) == 1).all()
    assert ((weights > 0).sum(1) <= 4).all()
    assert (weights.max(0) > 0.4).all()


@pytest.mark.parametrize("name", ["J_regressor", "keypoint_regressor"])
def test_regressors_are_means_over_few_vertices(name: str):
    rows = ARRAYS[name]
    assert (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    assert (rows > 0).sum() < 0.1 * rows.size


def test_template_is_a_t_posed_adult_in_metres():
    vertices = ARRAYS["v_template"]
    low, high = vertices.min(0), vertices.max(0)
    assert 1.55 < high[1] - low[1] < 1.85
    assert 1.5 < high[0] - low[0] < 1.85
    assert np.linalg.norm(rest_joint("pelvis")) < 0.01
    assert rest_joint("left_wrist")[0] > 0 > rest_joint("right_wrist")[0]
    # It faces z: the feet point there, and the nose is in front of the ears.
    assert rest_joint("left_foot")[2] > rest_joint("left_ankle")[2] + 0.1
    keypoints = dict(zip(COCO_NAMES, ARRAYS["keypoint_regressor"] @ vertices, strict=True))
    assert keypoints["nose"][2] > keypoints["left_ear"][2] + 0.05
    arm = np.stack([rest_joint(f"left_{name}") for name in ("shoulder", "elbow", "wrist", "hand")])
    assert np.ptp(arm[:, 1:], axis=0).max() < 0.01
    assert (np.diff(arm[:, 0]) > 0.05).all()


def test_left_and_right_match():
    for regressor, names in (("J_regressor", SMPL_JOINT_NAMES), ("keypoint_regressor", COCO_NAMES)):
        points = dict(zip(names, ARRAYS[regressor] @ ARRAYS["v_template"], strict=True))
        for name, point in points.items():
            twin = points[name.replace("left", "?").replace("right", "left").replace("?", "right")]
            np.testing.assert_allclose(point * [-1, 1, 1], twin, atol=0.005)


def test_keypoints_lie_at_their_joints(body: BodyModel, posed):
    output = posed[2]
    joints = dict(zip(SMPL_JOINT_NAMES, output.joints24.unbind(1), strict=True))
    for name, point in zip(COCO_NAMES, body.keypoints(output.vertices).unbind(1), strict=True):
        distance = (point - joints.get(name, joints["head"])).norm(dim=-1)
        assert distance.max() < (0.08 if name in joints else 0.2)


def test_shapes_are_people(body: BodyModel):
    betas = torch.randn(200, 10, generator=torch.Generator().manual_seed(0))
    eye = torch.eye(3).expand(200, 24, 3, 3)
    vertices = body(betas, eye[:, 1:], eye[:, 0]).vertices
    height = vertices[..., 1].amax(1) - vertices[..., 1].amin(1)
    assert 1.3 < height.min() < height.max() < 2.1
    assert 0.05 < height.std() < 0.15
    # The first component is stature, positive for tall.
    assert torch.corrcoef(torch.stack([betas[:, 0], height]))[0, 1] > 0.9


def test_bending_keeps_the_volume(body: BodyModel):
    pose = torch.zeros(1, 24, 3)
    for side, sign in (("left", -1), ("right", 1)):
        pose[0, SMPL_JOINT_NAMES.index(f"{side}_knee"), 0] = 1.5
        pose[0, SMPL_JOINT_NAMES.index(f"{side}_elbow"), 1] = sign * 1.5
        pose[0, SMPL_JOINT_NAMES.index(f"{side}_shoulder"), 2] = sign * 1.0
    rotations = axis_angle_to_matrix(pose)
    bent = body(torch.zeros(1, 10), rotations[:, 1:], rotations[:, 0]).vertices[0]
    rest = trimesh.Trimesh(ARRAYS["v_template"], ARRAYS["f"], process=False)
    assert trimesh.Trimesh(bent, ARRAYS["f"], process=False).volume == pytest.approx(
        rest.volume, rel=0.04
    )
