import numpy as np
import pytest
import torch
from body_samples import smpl_arrays

from bilayer_graph.body import SMPL_TO_JOINTS, BodyModel, Skeleton, axis_angle_to_matrix
from bilayer_graph.errors import InputError


def random_input(count: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(count, 10, generator=generator, dtype=dtype)
    rotations = axis_angle_to_matrix(torch.randn(count, 24, 3, generator=generator, dtype=dtype))
    return betas, rotations


def small_body(**changes) -> BodyModel:
    arrays = smpl_arrays() | changes
    arrays["kintree_table"] = arrays["kintree_table"].astype(np.int64)
    arrays["kintree_table"][0, 0] = -1
    return BodyModel(arrays).double()


@pytest.mark.parametrize("with_posedirs", [True, False])
def test_vertices_and_joints_are_those_of_smplx(with_posedirs: bool):
    lbs = pytest.importorskip("smplx.lbs").lbs
    body = small_body() if with_posedirs else small_body(posedirs=np.zeros((60, 3, 207)))
    assert (body.posedirs is not None) == with_posedirs
    betas, rotations = random_input(5)
    posedirs = torch.zeros(60, 3, 207) if body.posedirs is None else body.posedirs
    vertices, joints = lbs(
        betas,
        rotations,
        body.v_template,
        body.shapedirs,
        posedirs.double().reshape(-1, 207).T,
        body.J_regressor,
        torch.tensor(body.parents),
        body.weights,
        pose2rot=False,
    )
    output = body(betas, rotations[:, 1:], rotations[:, 0])
    root = joints[:, :1]
    torch.testing.assert_close(output.vertices, vertices - root, atol=1e-12, rtol=0)
    torch.testing.assert_close(output.joints24, joints - root, atol=1e-12, rtol=0)


def test_single_precision_is_close_to_double(body: BodyModel, posed):
    betas, rotations, output = posed
    double = BodyModel.load().double()
    expected = double(betas.double(), rotations[:, 1:].double(), rotations[:, 0].double())
    torch.testing.assert_close(output.vertices, expected.vertices.float(), atol=1e-5, rtol=0)


def test_autocast_changes_nothing(body: BodyModel, posed):
    betas, rotations, output = posed
    with torch.autocast("cpu", torch.bfloat16):
        again = body(betas, rotations[:, 1:], rotations[:, 0])
        joints, keypoints = body.joints(again.vertices), body.keypoints(again.vertices)
    assert torch.equal(again.vertices, output.vertices)
    assert torch.equal(joints, body.joint_regressor @ output.vertices)
    assert torch.equal(keypoints, body.keypoint_regressor @ output.vertices)


def test_gradients():
    body = small_body()
    betas, rotations = (tensor.requires_grad_() for tensor in random_input(2))

    def sums(betas, rotations):
        output = body(betas, rotations[:, 1:], rotations[:, 0])
        return output.vertices[:, ::7].square().sum(), output.joints24.square().sum()

    assert torch.autograd.gradcheck(sums, (betas, rotations), fast_mode=True)


def test_batch_is_a_loop(body: BodyModel, posed):
    betas, rotations, output = posed
    one = body(betas[3:4], rotations[3:4, 1:], rotations[3:4, 0])
    torch.testing.assert_close(one.vertices, output.vertices[3:4], atol=1e-6, rtol=0)


def test_global_orient_turns_the_whole_body_about_the_pelvis(body: BodyModel, posed):
    betas, rotations, output = posed
    turn = axis_angle_to_matrix(torch.tensor([0.3, -1.0, 2.0]))
    turned = body(betas, rotations[:, 1:], turn @ rotations[:, 0])
    expected = output.vertices @ turn.T
    torch.testing.assert_close(turned.vertices, expected, atol=1e-5, rtol=0)
    assert (turned.joints24[:, 0] == 0).all()


def test_keypoints_fall_back_to_the_skinning_joints():
    body = small_body()
    betas, _ = random_input(3)
    rest = torch.eye(3).double().expand(3, 24, 3, 3)
    output = body(betas, rest[:, 1:], rest[:, 0])
    joints = body.joints(output.vertices)
    picked = output.joints24[:, list(SMPL_TO_JOINTS)]
    torch.testing.assert_close(joints, picked, atol=1e-6, rtol=0)
    faces = body.keypoints(output.vertices)[:, :5]
    head = output.joints24[:, 15:16].expand(-1, 5, -1)
    torch.testing.assert_close(faces, head, atol=1e-6, rtol=0)


def test_joints_take_any_leading_shape(body: BodyModel, posed):
    vertices = posed[2].vertices
    nested = body.joints(vertices.view(2, 3, *vertices.shape[1:]))
    assert nested.shape == (2, 3, 12, 3)
    torch.testing.assert_close(nested.flatten(0, 1), body.joints(vertices))
    assert body.joints(vertices[0]).shape == (12, 3)


def test_state_dict_is_empty(body: BodyModel):
    assert not body.state_dict()
    assert not list(body.parameters())


DOG = Skeleton(("nose", "tail"), ((0, 1),), root=(1,))


def dog(**changes) -> BodyModel:
    """A body of 5 skinning joints, 3 shape directions and 2 joints of its own."""
    random = np.random.default_rng(0)
    arrays = smpl_arrays() | {
        "shapedirs": random.normal(size=(60, 3, 3)),
        "posedirs": np.zeros((60, 3, 36)),
        "J_regressor": random.dirichlet(np.ones(60), size=5),
        "weights": random.dirichlet(np.ones(5), size=60),
        "kintree_table": np.array([[-1, 0, 0, 2, 3], range(5)]),
        "joint_regressor": random.dirichlet(np.ones(60), size=2),
    }
    return BodyModel(arrays | changes, DOG)


def test_a_body_that_is_no_human():
    body = dog()
    betas, rotations = random_input(4, torch.float32)
    output = body(betas[:, :3], rotations[:, 1:5], rotations[:, 0])
    assert output.joints24.shape == (4, 5, 3)
    joints = body.joints(output.vertices)
    torch.testing.assert_close(joints, body.joint_regressor @ output.vertices)
    torch.testing.assert_close(body.keypoints(output.vertices), joints)
    assert joints.shape == (4, 2, 3)
    # A joint without children turns only the vertices that hang on it.
    turned = rotations.clone()
    turned[:, 1] = turned[:, 1] @ axis_angle_to_matrix(torch.tensor([0.0, 0.5, 0.0]))
    free = dog(weights=np.eye(5)[[0, 1, 2, 3, 4] * 12])
    before = free(betas[:, :3], rotations[:, 1:5], rotations[:, 0]).vertices
    after = free(betas[:, :3], turned[:, 1:5], rotations[:, 0]).vertices
    moved = (before - after).norm(dim=-1) > 1e-4
    assert moved[:, 1::5].all()
    assert moved.sum() == 4 * 12


def test_a_skeleton_of_another_body():
    with pytest.raises(InputError, match=r"^skeleton=12 joints: the body regresses 2 joints"):
        small_body(joint_regressor=np.ones((2, 60)))


def test_one_shape_for_many_poses(body: BodyModel, posed):
    betas, rotations, _ = posed
    one = body(betas[:1], rotations[:, 1:], rotations[:, 0])
    all_same = body(betas[:1].expand(6, -1), rotations[:, 1:], rotations[:, 0])
    torch.testing.assert_close(one.vertices, all_same.vertices, atol=1e-6, rtol=0)
    torch.testing.assert_close(one.joints24, all_same.joints24, atol=1e-6, rtol=0)
    with_pose_term = small_body()
    betas, rotations = random_input(3)
    one = with_pose_term(betas[:1], rotations[:, 1:], rotations[:, 0])
    last = with_pose_term(betas[:1], rotations[2:, 1:], rotations[2:, 0])
    torch.testing.assert_close(one.vertices[2:], last.vertices)


INPUT = {
    "betas": torch.zeros(2, 10),
    "body_pose": torch.eye(3).expand(2, 23, 3, 3),
    "global_orient": torch.eye(3).expand(2, 3, 3),
}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("betas", torch.zeros(10), r"\(10,\): not of shape \[B, 10\]"),
        ("betas", torch.zeros(2, 300), "not of shape"),
        ("betas", torch.zeros(2, 9), "not of shape"),
        ("betas", torch.zeros(2, 1), "not of shape"),
        ("betas", torch.zeros(3, 10), "body_pose has 2 bodies"),
        ("betas", torch.zeros(0, 10), "body_pose has 2 bodies"),
        ("betas", np.zeros((2, 10)), "not a tensor"),
        ("betas", torch.zeros(2, 10, dtype=torch.complex64), "not floating-point"),
        ("betas", torch.zeros(2, 10, device="meta"), "the body is on cpu"),
        ("body_pose", torch.zeros(2, 69), r"not of shape \[B, 23, 3, 3\].*axis_angle_to_matrix"),
        ("body_pose", torch.zeros(2, 23, 3), "not of shape"),
        ("body_pose", torch.zeros(2, 21, 3, 3), "not of shape"),
        ("body_pose", torch.zeros(2, 1, 3, 3), "not of shape"),
        ("body_pose", torch.zeros(2, 23, 3, 3, dtype=torch.long), "not floating-point"),
        ("body_pose", None, "not a tensor"),
        ("global_orient", torch.zeros(2, 1, 3, 3), r"not of shape \[B, 3, 3\]"),
        ("global_orient", torch.zeros(2, 3), "not of shape"),
        ("global_orient", torch.zeros(3, 3), "not of shape"),
        ("global_orient", torch.eye(3)[None], "body_pose has 2 bodies"),
    ],
)
def test_input_that_is_no_pose_is_named(body: BodyModel, name: str, value, problem: str):
    with pytest.raises(InputError, match=rf"^{name}=.*{problem}"):
        body(**(INPUT | {name: value}))


@pytest.mark.parametrize("shape", [(6890,), (6890, 4), (1723, 3), (2, 3, 6890), (20670,)])
def test_meshes_of_another_body_are_named(body: BodyModel, shape: tuple[int, ...]):
    for regress in (body.joints, body.keypoints):
        with pytest.raises(InputError, match=r"^vertices=\(.*not the 6890 vertices.*\[\.\., 6890"):
            regress(torch.zeros(shape))


class Vertices(torch.nn.Module):
    def __init__(self, body: BodyModel) -> None:
        super().__init__()
        self.body = body

    def forward(self, *pose: torch.Tensor) -> torch.Tensor:
        return self.body(*pose).vertices


def test_checks_export_with_any_batch_size_and_compile():
    body = small_body()
    betas, rotations = random_input(6)
    output = body(betas, rotations[:, 1:], rotations[:, 0])
    arguments = (betas, rotations[:, 1:].contiguous(), rotations[:, 0].contiguous())
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(
        Vertices(body), arguments, dynamic_shapes=[({0: batch},) * 3], strict=False
    )
    found = exported.module()(*(argument[:4] for argument in arguments))
    torch.testing.assert_close(found, output.vertices[:4], atol=1e-6, rtol=0)
    compiled = torch.compile(body, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*arguments).vertices, output.vertices, atol=1e-6, rtol=0)
    with pytest.raises(InputError, match=r"^betas=\(3, 10\): body_pose has 6"):
        torch.compile(body, backend="eager")(betas[:3], *arguments[1:])
