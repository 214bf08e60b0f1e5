import math

import torch

from bilayer_graph.detection.suppress import distinct, joint_box, overlap, similarity, widened


def people(*places):
    """A person of 100 x 200 pixels at each place, all joints sure."""
    random = torch.Generator().manual_seed(0)
    shape = torch.rand(17, 2, generator=random) * torch.tensor([100.0, 200.0])
    points = torch.stack([shape + torch.tensor(place) for place in places])
    return torch.cat([points, torch.ones(len(places), 17, 1)], dim=-1)


def test_joint_box_leaves_doubtful_joints_out():
    keypoints = people((0.0, 0.0))[0]
    inside = joint_box(keypoints, 0.5)
    keypoints[3] = torch.tensor([-500.0, 900.0, 0.1])
    expected = joint_box(keypoints[[i for i in range(17) if i != 3]], 0.5)
    assert torch.equal(joint_box(keypoints, 0.5), expected)
    assert bool((expected[:2] >= inside[:2]).all())


def test_joint_box_of_two_sure_joints_is_that_of_all():
    keypoints = people((0.0, 0.0))[0]
    keypoints[2:, 2] = 0
    assert torch.equal(joint_box(keypoints, 0.5), joint_box(keypoints, 0.0))


def test_overlap():
    boxes = torch.tensor([[0.0, 0, 2, 2], [1.0, 1, 3, 3], [5.0, 5, 6, 6], [7.0, 7, 7, 7]])
    expected = torch.tensor([[1, 1 / 7, 0, 0], [1 / 7, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(overlap(boxes, boxes), expected)


def test_widened():
    box = torch.tensor([10.0, 20, 30, 60])
    assert widened(box, 2.0).tolist() == [0, 0, 40, 80]
    assert torch.equal(widened(box, 1.0), box)


def test_similarity():
    keypoints = people((0.0, 0.0), (10.0, 0.0))
    found = similarity(keypoints, keypoints, torch.tensor([400.0, 400.0]))
    spreads = [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072]
    spreads += [0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089]
    moved = sum(math.exp(-100 / (2 * 400 * (2 * s) ** 2)) for s in spreads) / 17
    torch.testing.assert_close(found, torch.tensor([[1, moved], [moved, 1]]))


def test_distinct_keeps_the_best_of_each():
    keypoints = people((0.0, 0.0), (300.0, 0.0), (3.0, 2.0), (60.0, 0.0))
    boxes = joint_box(keypoints, 0.0)
    scores = torch.tensor([0.5, 0.9, 0.6, 0.4])
    assert distinct(keypoints, boxes, scores, 0.6, 0.7).tolist() == [1, 2, 3]
    assert distinct(keypoints[:0], boxes[:0], scores[:0], 0.6, 0.7).tolist() == []
