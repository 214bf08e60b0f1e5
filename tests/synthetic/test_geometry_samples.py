"""Samples without pictures agree with the body, with their cameras and with themselves."""

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.utils.data import DataLoader

from bilayer_graph.body import (
    COCO_NAMES,
    COCO_TO_JOINTS,
    JOINT_NAMES,
    BodyModel,
    ReducedBody,
    fit_camera,
    look_at,
    project,
)
from bilayer_graph.synthetic import GeometrySamples, PoseBank
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.figures import sample_figures
from bilayer_graph.testing import assert_close

INDEX = torch.arange(0, 6890, 53)
SHAPES = {
    "keypoints": (17, 3),
    "keypoints_true": (12, 2),
    "joints": (12, 3),
    "vertices": (130, 3),
    "rotations": (24, 3, 3),
    "betas": (10,),
    "up": (3,),
    "posture": (),
    "centre": (2,),
    "half": (),
}
LIMBS = list(COCO_TO_JOINTS)


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def poses(body):
    return PoseBank(body, seed=3, postures=300)


@pytest.fixture(scope="module")
def make(body, poses):
    def samples(batch_size, batches=1, seed=5, noise=True):
        return GeometrySamples(body, INDEX, poses, batch_size, batches, seed, noise)

    return samples


@pytest.fixture(scope="module")
def noisy(make):
    return make(2000)[0]


@pytest.fixture(scope="module")
def true(make):
    return make(2000, noise=False)[0]


def test_shapes_types_and_ranges(noisy, true):
    for batch in (noisy, true):
        assert {name: tuple(value.shape[1:]) for name, value in batch.items()} == SHAPES
        for name, value in batch.items():
            assert len(value) == 2000, name
            assert value.dtype == (torch.bool if name == "posture" else torch.float32), name
            assert value.isfinite().all(), name
        confidence = batch["keypoints"][..., 2]
        assert confidence.min() >= 0
        assert confidence.max() <= 1
        assert (batch["keypoints"][confidence == 0] == 0).all()
        # The crop holds the person, up to what noise and a moved crop take away.
        inside = (batch["keypoints"][..., :2].abs() <= 1).all(-1)
        assert inside.float().mean() > 0.98


def test_up_is_that_of_the_world_in_the_axes_of_the_crop(body, poses, noisy):
    figures = sample_figures(Draws(5, torch.arange(2000)), poses, ReducedBody(body, INDEX))
    turn = noisy["rotations"][:, 0] @ figures.bones.turn[:, 0].mT
    world = figures.camera.mT @ turn.mT @ noisy["up"].unsqueeze(-1)
    assert_close(world.squeeze(-1), torch.tensor([0.0, 1.0, 0.0]).expand(2000, 3))
    assert noisy["posture"].all()


def test_rotations_are_rotations(noisy):
    turns = noisy["rotations"]
    assert_close(turns @ turns.mT, torch.eye(3).expand_as(turns))
    assert_close(torch.linalg.det(turns), torch.ones(turns.shape[:2]))


def test_labels_are_those_of_the_whole_body(body, noisy):
    relative = ReducedBody(body, INDEX).relative(noisy["rotations"][:50])
    whole = body(noisy["betas"][:50], relative[:, 1:], relative[:, 0]).vertices
    assert_close(noisy["vertices"][:50], whole[:, INDEX])
    assert_close(noisy["joints"][:50], body.joints(whole))


def rays_of(batch, points):
    """Crop coordinates as seen along the ray of the crop's centre, by scipy's rotations."""
    tangents = batch["centre"].unsqueeze(1) + points * batch["half"].view(-1, 1, 1)
    rays = torch.nn.functional.pad(tangents, (0, 1), value=1.0).double()
    rows = []
    for centre, ray in zip(batch["centre"].double(), rays, strict=True):
        axis = torch.stack([centre[1], -centre[0], torch.zeros_like(centre[0])])
        angle = torch.atan(centre.norm())
        turn = Rotation.from_rotvec((axis / axis.norm() * angle).numpy())
        rows.append(torch.from_numpy(turn.apply(ray.numpy())))
    turned = torch.stack(rows)
    return turned[..., :2] / turned[..., 2:]


def first(batch, count):
    return {name: values[:count] for name, values in batch.items()}


def place_of(joints, rays):
    """Where a person of these joints stands, by numpy's least squares, and what is left over."""
    found, left = [], []
    for points, seen in zip(joints.double().numpy(), rays.numpy(), strict=True):
        rows = torch.tensor([[1.0, 0, -u] for u in seen[:, 0]] + [[0, 1.0, -v] for v in seen[:, 1]])
        wanted = [u * p[2] - p[0] for p, u in zip(points, seen[:, 0], strict=True)]
        wanted += [v * p[2] - p[1] for p, v in zip(points, seen[:, 1], strict=True)]
        answer = torch.linalg.lstsq(rows.double(), torch.tensor(wanted).double().unsqueeze(1))
        found.append(answer.solution[:, 0])
        moved = torch.from_numpy(points) + found[-1]
        left.append((moved[:, :2] / moved[:, 2:] - torch.from_numpy(seen)).norm(dim=1).max())
    return torch.stack(found), torch.stack(left)


def test_joints_project_to_the_true_keypoints(noisy):
    """Before a perspective camera or, for one in ten, a weak one."""
    batch = first(noisy, 300)
    place, left = place_of(batch["joints"], rays_of(batch, batch["keypoints_true"]))
    perspective = left < 1e-5
    assert 0.84 < perspective.float().mean() < 0.96
    assert (place[perspective, 2] > 0.5).all()
    # The others are seen by a weak camera, in the axes of the picture.
    weak = {name: values[~perspective] for name, values in batch.items()}
    joints = weak["joints"] @ look_at(weak["centre"])
    camera = fit_camera(joints, weak["keypoints_true"])
    assert_close(project(joints, camera), weak["keypoints_true"], torch.float16)


def test_people_fill_their_crops(true):
    low, high = true["keypoints_true"].amin(1), true["keypoints_true"].amax(1)
    # 1.4 times as wide as the joints, times 0.93 to 1.09; moved by up to 0.04 of its side.
    extent = (high - low).amax(1)
    assert extent.min() > 2 / (1.4 * 1.09) - 1e-4
    assert extent.max() < 2 / (1.4 * 0.93) + 1e-4
    middle = (low + high) / 2
    assert 0.07 < middle.abs().max() < 0.08 + 1e-4
    # The ray of the crop's centre: the mean person is on it, wherever it stands in the picture.
    assert true["centre"].abs().max() > 0.1
    place, _ = place_of(
        true["joints"][:100], rays_of(first(true, 100), true["keypoints_true"][:100])
    )
    aside = (place[:, :2] + true["joints"][:100].mean(1)[:, :2]) / place[:, 2:]
    assert (aside.abs() / true["half"][:100, None]).median() < 0.1


def test_true_keypoints_are_the_projected_joints(true):
    seen = true["keypoints"][:, LIMBS]
    assert_close(seen[..., :2], true["keypoints_true"])
    assert (seen[..., 2] == 1).all()


def test_a_share_of_the_noisy_samples_is_clean(noisy):
    seen = noisy["keypoints"][:, LIMBS]
    found = seen[..., 2] > 0
    exact = ((seen[..., :2] - noisy["keypoints_true"]).abs().amax(-1) < 1e-6) | ~found
    clean = exact.all(1) & ((seen[..., 2] == 1) | ~found).all(1)
    assert 0.12 < clean.float().mean() < 0.2
    # The others are off, by a few hundredths of the crop.
    off = (seen[..., :2] - noisy["keypoints_true"]).norm(dim=-1)[found & ~clean.unsqueeze(1)]
    assert 0.01 < off.median() < 0.05


def test_left_is_left(body, true):
    """A body that faces the camera has its left on the right of the picture."""
    left, right = (JOINT_NAMES.index(f"{side}_shoulder") for side in ("left", "right"))
    front = true["rotations"][:, 9, :, 2]
    upright = (front[:, 2] < -0.9) & (true["rotations"][:, 9, 1, 1] < -0.9)
    away = (front[:, 2] > 0.9) & (true["rotations"][:, 9, 1, 1] < -0.9)
    assert upright.sum() > 20
    assert away.sum() > 20
    for name in ("joints", "keypoints_true"):
        gap = true[name][:, left, 0] - true[name][:, right, 0]
        assert (gap[upright] > 0).all()
        assert (gap[away] < 0).all()
    first, second = (COCO_NAMES.index(f"{side}_shoulder") for side in ("left", "right"))
    gap = true["keypoints"][:, first, 0] - true["keypoints"][:, second, 0]
    assert (gap[upright] > 0).all()


def test_the_head_hides_the_face_from_behind(true):
    front = true["rotations"][:, 15, :, 2]
    found = true["keypoints"][..., 2] > 0
    nose, left_ear, right_ear = (COCO_NAMES.index(n) for n in ("nose", "left_ear", "right_ear"))
    assert found[front[:, 2] < -0.5][:, nose].all()
    assert not found[front[:, 2] > 0.5][:, nose].any()
    # The left axis of the head points away from the camera: the right ear is the nearer one.
    side = true["rotations"][:, 15, 2, 0] > 0.8
    assert found[side][:, right_ear].all()
    assert not found[side][:, left_ear].any()
    assert found[:, LIMBS].all()


@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_sample_has_the_same_bits_in_any_batch(make, size):
    wide, few = make(32)[0], [make(size, 32)[number] for number in (0, 3)]
    for name, values in wide.items():
        assert torch.equal(values[:size], few[0][name]), name
        assert torch.equal(values[3 * size : 4 * size], few[1][name]), name
    # Larger ones may be rounded another way, elsewhere.
    larger = make(64)[0]
    for name, values in wide.items():
        assert_close(larger[name][:32], values, torch.float32)


def test_samples_depend_on_seed_and_number_only(make):
    samples = make(40, 3)
    first, again = samples[2], make(40, 7)[2]
    assert all(torch.equal(first[name], again[name]) for name in first)
    loaded = next(iter(DataLoader(samples, batch_size=None, sampler=[2], num_workers=1)))
    assert all(torch.equal(first[name], loaded[name]) for name in first)
    for other in (samples[1], make(40, 3, seed=6)[2]):
        for name in ("betas", "rotations", "keypoints", "centre"):
            assert (first[name] - other[name]).abs().mean() > 1e-3, name


def test_noise_changes_what_is_seen_and_not_who_is_seen(make):
    noisy, true = make(40)[0], make(40, noise=False)[0]
    assert torch.equal(noisy["betas"], true["betas"])
    assert not torch.equal(noisy["keypoints"], true["keypoints"])
    relative = noisy["rotations"][:, 1:2].mT @ noisy["rotations"][:, 4:5]
    assert_close(relative, true["rotations"][:, 1:2].mT @ true["rotations"][:, 4:5])


def test_an_item_outside_is_an_error(make):
    assert len(make(4, 3)) == 3
    with pytest.raises(IndexError):
        make(4, 3)[3]
