import pytest
import torch

from bilayer_graph.models import JointFeatures, MeshFeatures
from bilayer_graph.models.node_features import MIN_BOX, mean_bone_length
from bilayer_graph.testing import assert_close, sample_features, sighted

SIDES = (32, 16, 8, 4)
BONES = ((0, 1), (1, 2))
JOINTS = torch.tensor([[0.0, 0, 0], [0.1, 0.5, 0], [0.2, 1.0, 0.1]])
# Two bones of length 0.25 and 0.5, well inside the picture.
POSITION = torch.tensor([[[-0.25, 0.1], [0.0, 0.1], [0.3, 0.5]]])


def keypoints(position=POSITION, confidence=1.0):
    return torch.nn.functional.pad(position, (0, 1), value=confidence)


def patches_only(channels=(1, 1, 1, 1)):
    """A layer that gives back the patches themselves."""
    layer = JointFeatures(channels, sum(channels), JOINTS, BONES)
    with torch.no_grad():
        for parameter in layer.lin_position.parameters():
            parameter.zero_()
        layer.lin_patch.weight.copy_(torch.eye(sum(channels)))
    return layer


def grid(side):
    """Crop coordinates x and y of the centres of the pixels, [side, side] each."""
    centre = (torch.arange(side) + 0.5) / side * 2 - 1
    return centre.expand(side, side), centre.unsqueeze(1).expand(side, side)


def test_constant_maps_give_constant_patches(device):
    maps = [torch.full((1, 1, side, side), float(i)) for i, side in enumerate(SIDES)]
    layer = patches_only().to(device)
    out = layer([x.to(device) for x in maps], keypoints().to(device))
    assert_close(out, torch.arange(4.0).expand(1, 3, 4))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_patch_is_centred_on_its_joint(axis, device):
    # The mean of a linear function over a box is its value at the centre, exactly.
    maps = [grid(side)[axis][None, None].contiguous() for side in SIDES[:2]]
    maps = [maps[0], maps[1], maps[0], maps[1]]
    out = patches_only().to(device)([x.to(device) for x in maps], keypoints().to(device))
    assert_close(out, POSITION[..., axis, None].expand(1, 3, 4))


def test_the_side_of_a_box_is_the_mean_bone_length():
    # Two samples a side, a quarter of the side from the centre: E[x^2] = x0^2 + (side / 4)^2.
    side = 0.375
    maps = [(grid(512)[0] ** 2)[None, None]] * 4
    out = patches_only()(maps, keypoints())
    expected = POSITION[..., 0] ** 2 + (side / 4) ** 2
    assert (out - expected.unsqueeze(-1)).abs().max() < 1e-4


def test_a_bright_blob_is_found_by_the_joint_on_it():
    for joint, (x0, y0) in enumerate(POSITION[0].tolist()):
        maps = []
        for side in (64, 48, 40, 32):
            x, y = grid(side)
            maps.append(torch.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 0.01)[None, None])
        out = patches_only()(maps, keypoints())
        assert (out[0].argmax(dim=0) == joint).all()


def test_every_person_looks_at_its_own_picture():
    values = torch.tensor([3.0, 5.0])
    maps = [values.view(2, 1, 1, 1).expand(2, 1, side, side) for side in SIDES]
    out = patches_only()(maps, keypoints(POSITION.expand(2, 3, 2)))
    assert_close(out, values.view(2, 1, 1).expand(2, 3, 4))


def test_channels_of_the_stages_keep_their_order():
    maps = [torch.full((1, 2, 8, 8), float(i)) for i in range(4)]
    for i, x in enumerate(maps):
        x[:, 1] += 10 * (i + 1)
    out = patches_only((2, 2, 2, 2))(maps, keypoints())
    assert_close(out[0, 0], torch.tensor([0.0, 10, 1, 21, 2, 32, 3, 43]))


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return sighted(JointFeatures((1, 2, 3, 4), 16, JOINTS, BONES))


def random_maps(seed=0):
    return [sample_features(2, i + 1, side, side, seed=seed) for i, side in enumerate(SIDES)]


def test_a_missing_joint_ignores_the_picture_and_its_position(layer):
    points = keypoints(POSITION.repeat(2, 1, 1))
    points[:, 1, 2] = 0
    moved = points.clone()
    moved[:, 1, :2] = torch.tensor([[torch.nan, torch.inf], [7.0, -7.0]])
    first, second = layer(random_maps(), points), layer(random_maps(seed=5), moved)
    assert torch.equal(first[:, 1], second[:, 1])
    assert (first[:, [0, 2]] != second[:, [0, 2]]).any()
    # What remains: x = y = confidence = 0 and the template joint.
    expected = layer.lin_position(torch.cat([torch.zeros(3), JOINTS[1]]))
    assert_close(first[:, 1], expected.expand(2, 16))


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_joint_with_a_number_that_is_not_finite_is_missing(layer, column, value):
    points = keypoints(POSITION.repeat(2, 1, 1))
    points[0, 1, 2] = 0
    expected = layer(random_maps(), points)
    points[0, 1, 2] = 1
    points[0, 1, column] = value
    assert torch.equal(layer(random_maps(), points), expected)


def test_nobody_found(layer):
    assert layer(random_maps(), torch.zeros(2, 3, 3)).isfinite().all()


def test_confidence_and_position_count(layer):
    maps, points = [torch.zeros_like(x) for x in random_maps()], keypoints(POSITION.repeat(2, 1, 1))
    located = torch.cat([points, JOINTS.expand(2, 3, 3)], dim=2)
    assert_close(layer(maps, points), layer.lin_position(located))
    assert layer(maps, points).shape == (2, 3, 16)


def test_gradients_reach_maps_and_parameters(layer):
    maps = [x.requires_grad_() for x in random_maps()]
    layer(maps, keypoints(POSITION.repeat(2, 1, 1))).square().sum().backward()
    for tensor in (*maps, *layer.parameters()):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().max() > 0


def test_joint_features_under_autocast(layer, device):
    layer = layer.to(device)
    maps, points = [x.to(device) for x in random_maps()], keypoints(POSITION.repeat(2, 1, 1))
    wide = layer(maps, points.to(device))
    with torch.autocast(device.type, torch.bfloat16):
        narrow = layer([x.bfloat16() for x in maps], points.to(device))
    assert_close(narrow, wide, torch.bfloat16)


def test_boxes_are_not_rounded_to_the_dtype_of_the_maps():
    # Integers up to 256 are exact in bfloat16; a rounded box would be off by up to half a pixel.
    columns = torch.arange(256.0).expand(1, 1, 256, 256).bfloat16()
    out = patches_only()([columns] * 4, keypoints())
    expected = (POSITION[..., 0] + 1) / 2 * 256 - 0.5
    assert (out - expected.unsqueeze(-1)).abs().max() < 1e-3


def test_mean_bone_length():
    points = torch.tensor([[[0.0, 0], [0.3, 0.4], [0.3, 0.3]]]).expand(4, 3, 2)
    present = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=torch.bool)
    # Bones of 0.5 and 0.1; the last person has no complete bone.
    expected = torch.tensor([0.3, 0.5, 0.1, 0.3])
    assert_close(mean_bone_length(points, present, torch.tensor(BONES)), expected)
    last = mean_bone_length(points, present, torch.tensor(BONES), default=0.7)[3]
    assert_close(last, torch.tensor(0.7))


def test_a_box_has_a_smallest_side():
    points, present = torch.zeros(1, 3, 2), torch.ones(1, 3, dtype=torch.bool)
    assert_close(mean_bone_length(points, present, torch.tensor(BONES)), torch.tensor([MIN_BOX]))


def test_mesh_features_are_one_linear_layer_over_both():
    torch.manual_seed(0)
    vertices, pooled = sample_features(7, 3), sample_features(2, 10, seed=1)
    layer = MeshFeatures(10, 16, vertices)
    both = torch.cat([vertices.expand(2, 7, 3), pooled.unsqueeze(1).expand(2, 7, 10)], dim=2)
    weight = torch.cat([layer.lin_position.weight, layer.lin_image.weight], dim=1)
    assert_close(layer(pooled), both @ weight.t() + layer.lin_position.bias)


def test_the_template_is_in_no_checkpoint(layer):
    assert set(layer.state_dict()) == {
        "lin_position.weight",
        "lin_position.bias",
        "lin_patch.weight",
    }
    assert "vertices" not in MeshFeatures(10, 16, sample_features(7, 3)).state_dict()


def test_a_model_without_pictures_has_no_weights_for_them():
    torch.manual_seed(0)
    joints = JointFeatures((), 16, JOINTS, BONES)
    assert set(joints.state_dict()) == {"lin_position.weight", "lin_position.bias"}
    points = keypoints(POSITION.repeat(2, 1, 1))
    located = torch.cat([points, JOINTS.expand(2, 3, 3)], dim=2)
    assert_close(joints([], points), joints.lin_position(located))
    mesh = MeshFeatures(0, 16, sample_features(7, 3))
    assert set(mesh.state_dict()) == {"lin_position.weight", "lin_position.bias"}
    out = mesh(torch.zeros(2, 0))
    assert_close(out, mesh.lin_position(mesh.vertices).expand(2, 7, 16))
