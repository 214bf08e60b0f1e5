"""Samples are repeatable, consistent with their labels, and show the person in the picture."""

import dataclasses

import pytest
import torch
from torch.utils.data import DataLoader

from bilayer_graph.body import BodyModel, project
from bilayer_graph.body.joints import JOINT_NAMES
from bilayer_graph.synthetic import SyntheticBodies
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.views import sample_orientations

SHAPES = {
    "image": (3, 64, 64),
    "keypoints": (12, 3),
    "keypoints_true": (12, 2),
    "visible": (12,),
    "global_orient": (3, 3),
    "body_pose": (23, 3, 3),
    "betas": (10,),
    "vertices": (6890, 3),
    "joints": (12, 3),
    "camera": (3,),
}


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def dataset(body):
    return SyntheticBodies(body, 200, image_size=64, seed=4)


@pytest.fixture(scope="module")
def batch(dataset):
    return dataset.batch(range(128))


def test_sample_shapes_types_and_ranges(dataset, batch):
    sample = dataset[0]
    assert {name: tuple(value.shape) for name, value in sample.items()} == SHAPES
    for name, value in batch.items():
        assert value.dtype == (torch.bool if name == "visible" else torch.float32), name
        assert torch.isfinite(value.float()).all(), name
    assert batch["image"].min() >= 0
    assert batch["image"].max() <= 1
    steps = batch["image"] * 255
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)


def test_sample_depends_on_seed_and_index_only(body, dataset, batch):
    """Alone, in another batch and in another order: the same bits."""
    again = dataset.batch([77, 3, 41])
    alone = dataset[41]
    for name, value in alone.items():
        assert torch.equal(again[name][2], value), name
        assert torch.equal(batch[name][41], value), name
    other = SyntheticBodies(body, 200, image_size=64, seed=5)[41]
    assert (other["body_pose"] - alone["body_pose"]).abs().max() > 0.01
    assert (other["image"] - alone["image"]).abs().mean() > 0.01
    repeated = dataset.batch(range(128))
    assert all(torch.equal(repeated[name], batch[name]) for name in batch)


def test_data_loader_workers_give_the_same(dataset, batch):
    loader = DataLoader(dataset, batch_size=5, num_workers=1, sampler=range(10))
    loaded = list(loader)
    for name, values in loaded[1].items():
        assert torch.equal(values, batch[name][5:10]), name


def test_index_outside_is_an_error(dataset):
    with pytest.raises(IndexError):
        dataset[200]


def test_labels_agree(body, batch):
    torch.testing.assert_close(
        project(batch["joints"], batch["camera"]), batch["keypoints_true"], atol=1e-5, rtol=0
    )
    torch.testing.assert_close(body.joints(batch["vertices"]), batch["joints"], atol=1e-5, rtol=0)
    rebuilt = body(batch["betas"], batch["body_pose"], batch["global_orient"]).vertices
    torch.testing.assert_close(rebuilt, batch["vertices"], atol=1e-5, rtol=0)
    for name in ("body_pose", "global_orient"):
        matrix = batch[name].flatten(0, -3)
        torch.testing.assert_close(
            matrix.mT @ matrix, torch.eye(3).expand_as(matrix), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(len(matrix)))


class Negative:
    def __init__(self, painter):
        self.painter = painter
        self.dress = painter.dress

    def __call__(self, draws, vertices, hits):
        return 1 - self.painter(draws, vertices, hits)


def test_picture_shows_the_labelled_body(body, dataset, batch):
    """Two people who differ only in their clothes differ only inside the projected mesh."""
    from bilayer_graph.render.clay import shade

    subject = dataset._subject
    painter = subject.surface
    dressed = painter.dress(Draws(4, torch.arange(16)), batch["vertices"][:16])
    pixels = (project(dressed, batch["camera"][:16]) + 1) * 32
    _, mask = shade(dressed, body.faces, pixels, (64, 64))
    plain = dataset.batch(range(16))["image"]
    dataset._subject = dataclasses.replace(subject, surface=Negative(painter))
    try:
        other = dataset.batch(range(16))["image"]
    finally:
        dataset._subject = subject
    changed = (plain - other).abs().amax(1) > 0.02
    grown = torch.nn.functional.max_pool2d(mask, 5, 1, 2)[:, 0] > 0
    assert not (changed & ~grown).any()
    assert changed[mask[:, 0] > 0.99].float().mean() > 0.75


def test_bodies_are_in_the_crop(body, batch):
    points = project(batch["vertices"], batch["camera"])
    assert ((points.abs() <= 1).all(-1).float().mean(1) > 0.15).all()
    whole = (points.abs() <= 1).all(-1).all(1).float().mean()
    assert 0.55 < whole < 0.95
    assert (batch["camera"][:, 0] > 0.3).all()
    assert (batch["keypoints"][..., 2] > 0).sum(1).min() >= 3


def test_visible_joints(batch):
    inside = (batch["keypoints_true"].abs() <= 1).all(-1)
    assert not (batch["visible"] & ~inside).any()
    assert 0.6 < batch["visible"].float().mean() < 0.9
    # Seen from the side, the chest hides the far shoulder.
    left, right = JOINT_NAMES.index("left_shoulder"), JOINT_NAMES.index("right_shoulder")
    gap = batch["joints"][:, left] - batch["joints"][:, right]
    side_on = (gap[:, 2] / gap.norm(dim=-1)).abs() > 0.9
    far = torch.where(gap[:, 2] > 0, left, right)
    rows = torch.arange(128)
    assert side_on.sum() > 10
    assert batch["visible"][rows, far][side_on].float().mean() < 0.4
    assert batch["visible"][rows, left + right - far][side_on].float().mean() > 0.65


def test_shapes_and_views_vary(batch):
    assert abs(batch["betas"].std() - 0.97) < 0.06
    assert batch["betas"].abs().max() <= 2.5
    orient = sample_orientations(Draws(0, torch.arange(4000)))
    up = -orient[:, 1, 1]
    assert 0.8 < (up > 0.6).float().mean() < 0.95
    front = orient[:, :, 2]
    heading = torch.atan2(front[:, 0], front[:, 2])
    assert (heading.histc(8, -torch.pi, torch.pi) / 4000 - 0.125).abs().max() < 0.03


def test_any_smpl_format_body(body):
    """A body of other size, vertex order and count is dressed and rendered too."""
    half = torch.arange(6889, -1, -1)
    arrays = {
        name: getattr(body, name).numpy()
        for name in ("v_template", "shapedirs", "weights", "J_regressor", "keypoint_regressor")
    }
    arrays = {
        name: (array[:, half] if name.endswith("regressor") else array[half])
        for name, array in arrays.items()
    }
    arrays["v_template"] = arrays["v_template"] * 0.8
    arrays["f"] = (6889 - body.faces).numpy()
    arrays["kintree_table"] = torch.tensor([body.parents, range(24)]).numpy()
    batch = SyntheticBodies(BodyModel(arrays), 4, image_size=32).batch(range(4))
    assert all(torch.isfinite(value.float()).all() for value in batch.values())
