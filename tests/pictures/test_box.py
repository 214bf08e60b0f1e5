import pytest
import torch

from bilayer_graph.body import BodyModel, project
from bilayer_graph.body.joints import COCO_TO_JOINTS
from bilayer_graph.errors import InputError
from bilayer_graph.pictures import (
    keypoints_box,
    limbs,
    move_camera,
    person_box,
    to_crop,
    to_pixels,
)
from bilayer_graph.pictures.box import BOX_MARGIN
from bilayer_graph.synthetic import SyntheticBodies


def twelve():
    joints = torch.rand(12, 3, generator=torch.Generator().manual_seed(0)) * 100
    joints[:, 2] = 0.9
    return joints


def test_box_surrounds_the_visible_joints():
    person = torch.zeros(12, 3)
    person[3] = torch.tensor([100.0, 50.0, 0.9])
    person[7] = torch.tensor([140.0, 250.0, 0.5])
    person[8] = torch.tensor([900.0, 900.0, 0.1])
    centre, side = keypoints_box(person)
    assert centre.tolist() == [120, 150]
    assert side.item() == pytest.approx(200 * BOX_MARGIN)
    person[:, :2] += torch.tensor([-500.0, 30.0])
    centres, sides = keypoints_box(torch.stack([person, twelve()]))
    assert centres[0].tolist() == [-380, 180]
    assert sides[0] == side
    assert centres[1].tolist() == keypoints_box(twelve())[0].tolist()


@pytest.mark.parametrize("person", [torch.zeros(12, 3), torch.ones(12, 3)])
def test_no_box(person):
    with pytest.raises(InputError, match=r"keypoints=1 of 2 people.*zero size"):
        keypoints_box(torch.stack([twelve(), person]))


def test_crop_coordinates():
    centre, side = torch.tensor([100.0, 60.0]), torch.tensor(80.0)
    corners = torch.tensor([[60.0, 20.0], [140.0, 100.0], [100.0, 60.0], [120.0, 20.0]])
    expected = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [0.5, -1.0]])
    torch.testing.assert_close(to_crop(corners, centre, side), expected)
    torch.testing.assert_close(to_pixels(expected, centre, side), corners)


def test_crop_coordinates_of_a_batch():
    points, centre, side = torch.rand(3, 12, 2), torch.rand(3, 2), torch.rand(3) + 1
    crops = to_crop(points, centre, side)
    loop = [to_crop(*one) for one in zip(points, centre, side, strict=True)]
    torch.testing.assert_close(crops, torch.stack(loop))
    torch.testing.assert_close(to_pixels(crops, centre, side), points)


@pytest.fixture(scope="module")
def crowd():
    """COCO keypoints [P, 17, 3] and vertices [P, V, 2] of people in pixels."""
    body = BodyModel.load()
    sample = SyntheticBodies(body, 48, 16, seed=3).batch(range(48))
    vertices = sample["vertices"] + torch.tensor([0.0, 0.0, 4.0])
    points = torch.cat([body.keypoints(vertices), vertices], dim=1)
    points = 500 * points[..., :2] / points[..., 2:] + 400
    keypoints = torch.cat([points[:, :17], torch.full((48, 17, 1), 0.9)], dim=-1)
    return keypoints, points[:, 17:]


def overhang(box, vertices):
    """How far people stick out of boxes, in sides."""
    return to_crop(vertices, *box).abs().amax((1, 2)) / 2 - 0.5


def test_the_person_box_holds_head_hands_and_feet(crowd):
    keypoints, vertices = crowd
    assert (overhang(person_box(keypoints), vertices) < 0.01).all()
    assert (overhang(person_box(limbs(keypoints)), vertices) < 0.02).all()
    extent = (vertices.amax(1) - vertices.amin(1)).amax(-1)
    assert (person_box(keypoints)[1] < 1.8 * extent).all()
    # The model's box does not, which is why there are two.
    assert (overhang(keypoints_box(keypoints), vertices) > 0.02).float().mean() > 0.1


def test_the_person_box_of_a_head_and_shoulders(crowd):
    keypoints = crowd[0].clone()
    keypoints[:, 7:, 2] = 0.1
    head = keypoints[:, :5, :2]
    assert (to_crop(head, *person_box(keypoints)).abs() < 0.95).all()
    keypoints[:, 6, 2] = 0.0  # no bone is left: one shoulder and the face
    assert (to_crop(head, *person_box(keypoints)).abs() < 0.95).all()


def test_the_models_box_does_not_see_the_face():
    keypoints = torch.zeros(17, 3)
    keypoints[list(COCO_TO_JOINTS)] = twelve()
    keypoints[:5] = torch.tensor([900.0, -900.0, 1.0])
    for mine, expected in zip(keypoints_box(keypoints), keypoints_box(twelve()), strict=True):
        torch.testing.assert_close(mine, expected)
    assert person_box(keypoints)[1] > 900
    torch.testing.assert_close(limbs(keypoints), twelve())


@pytest.mark.parametrize("count", [0, 1, 13, 25])
def test_other_joints_have_no_box(count):
    for box in (keypoints_box, person_box):
        with pytest.raises(InputError, match=f"keypoints={count} joints"):
            box(torch.ones(2, count, 3))


def test_the_camera_of_another_box():
    generator = torch.Generator().manual_seed(0)
    points, camera = torch.randn(5, 9, 3, generator=generator), torch.rand(5, 3) + 0.1
    old = torch.rand(5, 2) * 400, torch.rand(5) * 200 + 50
    new = torch.rand(5, 2) * 400, torch.rand(5) * 200 + 50
    expected = to_pixels(project(points, camera), *old)
    found = to_pixels(project(points, move_camera(camera, old, new)), *new)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)
