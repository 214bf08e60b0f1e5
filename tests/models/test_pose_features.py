import pytest
import torch

from bilayer_graph.models import JointFeatures, PoseFeatures
from bilayer_graph.testing import assert_close, sample_features, sighted

BONES = ((0, 1), (1, 2))
JOINTS = torch.tensor([[0.0, 0, 0], [0.1, 0.5, 0], [0.2, 1.0, 0.1]])
ROWS = (4, 0, 2)
MAPS = [sample_features(2, i + 1, side, side, seed=i) for i, side in enumerate((32, 16, 8, 4))]


def make(stages=(1, 2, 3, 4)):
    torch.manual_seed(0)
    local = JointFeatures(stages, 16, JOINTS, BONES)
    return sighted(PoseFeatures(local, 5, ROWS, 16, hidden=32, depth=2))


@pytest.fixture
def layer():
    return make()


def keypoints():
    """Five keypoints a person, of which three are joints."""
    confidence = sample_features(2, 5, 1, seed=1).sigmoid()
    return torch.cat([0.5 * sample_features(2, 5, 2), confidence], dim=2)


def test_is_what_its_formula_says(layer):
    layer, points = layer.double(), keypoints().double()
    maps, norm = [x.double() for x in MAPS], torch.nn.functional.layer_norm
    linear = torch.nn.functional.linear
    x = linear(points.reshape(2, 15), layer.lin_in.weight, layer.lin_in.bias)
    for part in layer.layers:
        torch.nn.init.normal_(part.norm.weight)
        y = norm(x, (32,), part.norm.weight, part.norm.bias)
        y = linear(y, part.lin_in.weight, part.lin_in.bias).relu()
        x = x + linear(y, part.lin_out.weight, part.lin_out.bias)
    x = norm(x, (32,), layer.norm.weight, layer.norm.bias).relu()
    x = linear(x, layer.lin_out.weight, layer.lin_out.bias).view(2, 3, 16)
    assert_close(layer(maps, points), x + layer.joint_features(maps, points[:, list(ROWS)]))


def test_every_joint_sees_every_keypoint(layer):
    points = keypoints().requires_grad_()
    for joint in range(3):
        points.grad = None
        layer([], points)[:, joint].sum().backward()
        assert (points.grad.abs() > 0).all(), joint


def test_people_of_a_batch_do_not_mix(layer):
    points = keypoints()
    alone = layer([x[1:] for x in MAPS], points[1:])
    assert_close(alone[0], layer(MAPS, points)[1])


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 7.0])
def test_a_missing_keypoint_may_hold_anything(layer, value):
    points = keypoints()
    points[:, [0, 3], 2] = 0
    expected = layer(MAPS, points)
    points[:, [0, 3], :2] = value
    assert torch.equal(layer(MAPS, points), expected)


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_keypoint_with_a_number_that_is_not_finite_is_missing(layer, column, value):
    points = keypoints()
    points[0, 2, 2] = 0
    expected = layer(MAPS, points)
    points[0, 2] = torch.tensor([0.1, 0.2, 0.9])
    assert not torch.equal(layer(MAPS, points), expected)
    points[0, 2, column] = value
    assert torch.equal(layer(MAPS, points), expected)


def test_keypoints_that_are_no_joints_have_no_patch(layer):
    """The face is seen by the pose, and the picture is looked at where the joints are."""
    points = keypoints()
    seen = []
    layer.joint_features.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    layer(MAPS, points)
    assert torch.equal(seen[0], points[:, list(ROWS)])


def test_without_maps_the_picture_counts_for_nothing(layer):
    blind = make(())
    state = {k: v for k, v in layer.state_dict().items() if not k.endswith("lin_patch.weight")}
    blind.load_state_dict(state)
    assert torch.equal(layer([], keypoints()), blind([], keypoints()))
    assert not torch.equal(layer(MAPS, keypoints()), blind([], keypoints()))


def test_nobody_found(layer):
    assert layer(MAPS, torch.zeros(2, 5, 3)).isfinite().all()


def test_under_autocast_positions_are_not_rounded(layer, device):
    layer, points = layer.to(device), keypoints().to(device)
    seen = []
    layer.lin_in.register_forward_hook(lambda *given: seen.append(given[2]))
    maps = [x.to(device) for x in MAPS]
    wide = layer(maps, points)
    with torch.autocast(device.type, torch.bfloat16):
        narrow = layer([x.bfloat16() for x in maps], points)
    assert torch.equal(seen[0], seen[1])
    assert_close(narrow, wide, torch.bfloat16)


def test_fixed_data_are_in_no_checkpoint(layer):
    assert {*layer.state_dict()} == {name for name, _ in layer.named_parameters()}
