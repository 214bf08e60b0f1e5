import torch

from bilayer_graph.body import (
    COCO_NAMES,
    JOINT_NAMES,
    LEFT_RIGHT,
    SMPL_JOINT_NAMES,
    BodyModel,
    axis_angle_to_matrix,
    mirror_joints,
    mirror_keypoints,
    mirror_order,
    mirror_rotations,
)

GENERATOR = torch.Generator().manual_seed(0)
KEYPOINTS = torch.randn(5, 17, 3, generator=GENERATOR)
JOINTS = torch.randn(5, 12, 3, generator=GENERATOR)
ROTATIONS = axis_angle_to_matrix(torch.randn(5, 24, 3, generator=GENERATOR))
MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))


def test_the_other_side_by_hand():
    assert mirror_order(("nose", "left_eye", "right_eye")) == (0, 2, 1)
    assert mirror_order(JOINT_NAMES) == LEFT_RIGHT
    left, right = COCO_NAMES.index("left_knee"), COCO_NAMES.index("right_knee")
    mirrored = mirror_keypoints(KEYPOINTS)
    assert torch.equal(mirrored[:, left, 0], -KEYPOINTS[:, right, 0])
    assert torch.equal(mirrored[:, left, 1:], KEYPOINTS[:, right, 1:])
    assert torch.equal(mirrored[:, 0, 0], -KEYPOINTS[:, 0, 0])
    assert torch.equal(mirror_keypoints(KEYPOINTS[..., :2]), mirrored[..., :2])
    ankles = mirror_joints(JOINTS)[:, [0, 5]]
    assert torch.equal(ankles, JOINTS[:, [5, 0]] @ MIRROR)
    assert torch.equal(mirror_joints(JOINTS[..., :2]), mirror_joints(JOINTS)[..., :2])


def test_rotations_are_those_seen_in_the_mirror():
    mirrored = mirror_rotations(ROTATIONS)
    for joint, name in enumerate(SMPL_JOINT_NAMES):
        swapped = {"left": "right", "right": "left"}.get(name.split("_")[0], "")
        other = SMPL_JOINT_NAMES.index(
            "_".join([swapped, *name.split("_")[1:]]) if swapped else name
        )
        assert torch.equal(mirrored[:, joint], MIRROR @ ROTATIONS[:, other] @ MIRROR)
    torch.testing.assert_close(torch.linalg.det(mirrored), torch.ones(5, 24))


def test_a_mirror_in_a_mirror_is_none():
    for mirror, x in (
        (mirror_keypoints, KEYPOINTS),
        (mirror_joints, JOINTS),
        (mirror_rotations, ROTATIONS),
    ):
        assert torch.equal(mirror(mirror(x)), x)
        assert not torch.equal(mirror(x), x)


def test_a_mirrored_pose_is_a_mirrored_body(body: BodyModel):
    relative = axis_angle_to_matrix(0.4 * torch.randn(4, 24, 3, generator=GENERATOR))
    betas = torch.zeros(4, 10)
    here = body(betas, relative[:, 1:], relative[:, 0]).vertices
    mirrored = mirror_rotations(relative)
    there = body(betas, mirrored[:, 1:], mirrored[:, 0]).vertices
    # The template is symmetric but for millimetres.
    gap = (body.joints(there) - mirror_joints(body.joints(here))).norm(dim=-1)
    assert gap.max() < 0.03
    gap = (body.keypoints(there) - mirror_keypoints(body.keypoints(here))).norm(dim=-1)
    assert gap.max() < 0.03
