from bilayer_graph.body import (
    BONES,
    COCO_NAMES,
    COCO_TO_JOINTS,
    JOINT_NAMES,
    LEFT_RIGHT,
    SMPL_JOINT_NAMES,
    SMPL_PARENTS,
    SMPL_TO_JOINTS,
)


def mirrored(name: str) -> str:
    return name.replace("left", "?").replace("right", "left").replace("?", "right")


def test_orders_name_the_same_joints():
    assert [COCO_NAMES[i] for i in COCO_TO_JOINTS] == list(JOINT_NAMES)
    assert [SMPL_JOINT_NAMES[i] for i in SMPL_TO_JOINTS] == list(JOINT_NAMES)
    assert COCO_TO_JOINTS == (16, 14, 12, 11, 13, 15, 10, 8, 6, 5, 7, 9)
    assert SMPL_TO_JOINTS == (8, 5, 2, 1, 4, 7, 21, 19, 17, 16, 18, 20)


def test_flip_swaps_sides_and_bones():
    assert [JOINT_NAMES[i] for i in LEFT_RIGHT] == [mirrored(name) for name in JOINT_NAMES]
    bones = {frozenset(bone) for bone in BONES}
    assert bones == {frozenset(LEFT_RIGHT[end] for end in bone) for bone in BONES}
    assert len(bones) == 12


def test_smpl_parents_come_first_and_mirror():
    assert all(parent < child for child, parent in enumerate(SMPL_PARENTS))
    for child, parent in enumerate(SMPL_PARENTS[1:], 1):
        twin = SMPL_JOINT_NAMES.index(mirrored(SMPL_JOINT_NAMES[child]))
        assert SMPL_JOINT_NAMES[SMPL_PARENTS[twin]] == mirrored(SMPL_JOINT_NAMES[parent])
