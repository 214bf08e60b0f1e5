"""A body at few vertices is the whole body there, and its joints are the whole body's."""

import numpy as np
import pytest
import torch
from body_samples import smpl_arrays

from bilayer_graph.body import BodyModel, ReducedBody, Skeleton, axis_angle_to_matrix

INDEX = torch.tensor([3, 59, 0, 17, 42])


def small_body(**changes) -> BodyModel:
    arrays = smpl_arrays() | changes
    arrays["kintree_table"] = arrays["kintree_table"].astype(np.int64)
    arrays["kintree_table"][0, 0] = -1
    return BodyModel(arrays).double()


def creature() -> BodyModel:
    """No human: seven bones, in another order than a tree's, and five joints of its own."""
    random = np.random.default_rng(1)
    weights = random.random((60, 7))
    arrays = smpl_arrays() | {
        "weights": weights / weights.sum(1, keepdims=True),
        "J_regressor": random.dirichlet(np.ones(60), size=7),
        "joint_regressor": random.dirichlet(np.ones(60), size=5),
        "shapedirs": random.normal(size=(60, 3, 4)),
        "posedirs": random.normal(size=(60, 3, 54)),
        "kintree_table": np.array([[-1, 0, 1, 1, 0, 4, 2], range(7)]),
    }
    names = ("a", "b", "c", "d", "e")
    return BodyModel(arrays, Skeleton(names, ((0, 1), (1, 2)), root=(0,))).double()


BODIES = {
    "posedirs": small_body,
    "no posedirs": lambda: small_body(posedirs=np.zeros((60, 3, 207))),
    "creature": creature,
}
ALL = pytest.mark.parametrize("name", BODIES)


def poses(body: BodyModel, count: int = 4):
    generator = torch.Generator().manual_seed(2)
    betas = torch.randn(count, body.shapedirs.size(-1), generator=generator, dtype=torch.float64)
    vectors = torch.randn(count, len(body.parents), 3, generator=generator, dtype=torch.float64)
    return betas, axis_angle_to_matrix(vectors)


def reduced(body: BodyModel) -> ReducedBody:
    """In double precision; what it is made of was rounded to single."""
    small = ReducedBody(body, INDEX).double()
    assert {name for name, _ in small.named_buffers()} > {"joint_points", "keypoint_weights"}
    assert not small.state_dict()
    return small


@ALL
def test_is_the_whole_body(name: str):
    body = BODIES[name]()
    small = reduced(body)
    betas, relative = poses(body)
    whole = body(betas, relative[:, 1:], relative[:, 0])
    bones = small.place(small.absolute(relative), betas)
    # Single precision of the buffers.
    close = {"atol": 3e-6, "rtol": 3e-6}
    torch.testing.assert_close(small.vertices(bones), whole.vertices[:, INDEX], **close)
    torch.testing.assert_close(bones.joints, whole.joints24, **close)
    torch.testing.assert_close(small.joints(bones), body.joints(whole.vertices), **close)
    torch.testing.assert_close(small.keypoints(bones), body.keypoints(whole.vertices), **close)


@ALL
def test_relative_and_absolute_rotations(name: str):
    body = BODIES[name]()
    small = reduced(body)
    _, relative = poses(body)
    absolute = small.absolute(relative)
    for joint, parent in enumerate(body.parents):
        above = torch.eye(3).double() if parent < 0 else absolute[:, parent]
        torch.testing.assert_close(absolute[:, joint], above @ relative[:, joint])
    torch.testing.assert_close(small.relative(absolute), relative)
    torch.testing.assert_close(small.absolute(small.relative(relative)), relative)


@ALL
def test_bones_in_other_axes(name: str):
    body = BODIES[name]()
    small = reduced(body)
    betas, relative = poses(body)
    bones = small.place(small.absolute(relative), betas)
    turn = axis_angle_to_matrix(torch.tensor([[0.3, -1.0, 0.5]]).double()).expand(4, 3, 3)
    turned = bones.turned(turn)
    for points in (small.vertices, small.joints, small.keypoints):
        torch.testing.assert_close(points(turned), points(bones) @ turn.mT)
    torch.testing.assert_close(turned.joints, bones.joints @ turn.mT)


def test_gradients_are_right():
    body = small_body()
    small = reduced(body)
    betas, relative = poses(body, 1)
    rotations = small.absolute(relative)

    def answer(rotations, betas):
        bones = small.place(rotations, betas)
        return small.vertices(bones), small.joints(bones), small.keypoints(bones)

    inputs = (rotations.requires_grad_(), betas[:, :10].requires_grad_())
    assert torch.autograd.gradcheck(answer, inputs, fast_mode=True)


def test_autocast_changes_nothing(body: BodyModel, posed):
    betas, rotations, _ = posed
    small = ReducedBody(body, INDEX)
    absolute = small.absolute(rotations)
    bones = small.place(absolute, betas)
    with torch.autocast("cpu", torch.bfloat16):
        again = small.place(absolute, betas)
        points = small.vertices(again), small.joints(again), small.keypoints(again)
        turned = again.turned(absolute[:, 3])
        assert torch.equal(small.absolute(rotations), absolute)
        relative = small.relative(absolute)
    assert torch.equal(relative, small.relative(absolute))
    assert torch.equal(turned.shift, bones.turned(absolute[:, 3]).shift)
    for actual, of in zip(points, (small.vertices, small.joints, small.keypoints), strict=True):
        assert torch.equal(actual, of(bones))
