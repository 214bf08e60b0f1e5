from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from bilayer_graph.body import BodyModel, axis_angle_to_matrix, project
from bilayer_graph.models import HMROutput, ModelConfig, assemble_model
from bilayer_graph.testing import assert_close, sample_features
from bilayer_graph.training.evaluation import MeanBody, body_errors
from bilayer_graph.training.lightning import BilayerTraining, mix_keypoints, total_loss
from bilayer_graph.training.lightning.paper import warm_up_and_cosine

TERMS = {"mesh", "mesh_joints", "mesh_2d", "skeleton", "skeleton_2d", "pose", "shape"}
EVERY_VERTEX = torch.arange(6890)
CONFIG = ModelConfig(
    backbone="mobilenet_v2",
    image_size=128,
    num_vertices=431,
    channels=64,
    num_blocks=2,
    hidden=128,
)


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def batch(body):
    rotations = axis_angle_to_matrix(0.3 * sample_features(3, 24, 3))
    betas = sample_features(3, 10, seed=1)
    vertices = body(betas, rotations[:, 1:], rotations[:, 0]).vertices
    joints, camera = body.joints(vertices), torch.tensor([[0.9, 0.1, 0.2]]).repeat(3, 1)
    true2d = project(joints, camera)
    return {
        "image": torch.rand(3, 3, 128, 128),
        "keypoints": torch.cat([true2d + 0.1, torch.full((3, 12, 1), 0.5)], dim=2),
        "keypoints_true": true2d,
        "global_orient": rotations[:, 0],
        "body_pose": rotations[:, 1:],
        "betas": betas,
        "vertices": vertices,
        "joints": joints,
        "camera": camera,
    }


def truth(batch, **changes):
    """What a perfect model says, at the full mesh, with some of it changed."""
    values = {
        "joints": batch["joints"],
        "vertices": batch["vertices"],
        "mesh_joints": batch["joints"],
        "camera": batch["camera"],
        "global_orient": batch["global_orient"],
        "body_pose": batch["body_pose"],
        "betas": batch["betas"],
    }
    return HMROutput(**{**values, **changes})


def test_truth_costs_nothing(batch):
    terms = total_loss(truth(batch), batch, EVERY_VERTEX)
    assert set(terms) == {"loss", *TERMS}
    for name, term in terms.items():
        assert term.abs() < 1e-6, name


# One output moved by a known amount, and what each term then is.
CHANGES = {
    "joints": {"skeleton": -5 * 0.1 * torch.tensor(0.9).log(), "skeleton_2d": 0.9 * 0.1},
    "vertices": {"mesh": 0.1},
    "mesh_joints": {"mesh_joints": 0.1, "mesh_2d": 0.9 * 0.1},
    "global_orient": {"pose": 0.01 / 24},
    "body_pose": {"pose": 0.01 * 23 / 24},
    "betas": {"shape": 0.1 * 0.01},
}


@pytest.mark.parametrize("name", CHANGES)
def test_coefficients_of_the_terms(batch, name):
    moved = getattr(truth(batch), name) + 0.1
    terms = total_loss(truth(batch, **{name: moved}), batch, EVERY_VERTEX)
    for term in TERMS:
        expected = float(CHANGES[name].get(term, 0))
        assert terms[term].item() == pytest.approx(expected, abs=2e-6), term
    assert terms["loss"].item() == pytest.approx(sum(map(float, CHANGES[name].values())), abs=1e-5)


def test_a_camera_that_is_off_costs_both_projections(batch):
    terms = total_loss(truth(batch, camera=1.1 * batch["camera"]), batch, EVERY_VERTEX)
    assert {name for name in TERMS if terms[name] > 1e-6} == {"mesh_2d", "skeleton_2d"}


def test_every_output_gets_a_gradient(batch):
    noisy = {
        name: (value + 0.1 * sample_features(*value.shape)).requires_grad_()
        for name, value in vars(truth(batch)).items()
    }
    terms = total_loss(truth(batch, **noisy), batch, EVERY_VERTEX)
    terms["loss"].backward()
    assert_close(terms["loss"], sum(terms[name].detach() for name in TERMS))
    for name, value in noisy.items():
        assert value.grad.isfinite().all(), name
        assert value.grad.abs().max() > 0, name


def test_the_mesh_is_compared_at_its_own_vertices(batch):
    index = torch.tensor([5, 17, 4000])
    out = truth(batch, vertices=batch["vertices"][:, index])
    assert total_loss(out, batch, index)["mesh"] == 0
    assert total_loss(out, batch, index.flip(0))["mesh"] > 0.01


def many():
    """A batch large enough to see shares: truth is 1, detections are 0 with confidence 0.5."""
    keypoints = torch.zeros(500, 12, 3)
    keypoints[..., 2] = 0.5
    return {"keypoints": keypoints, "keypoints_true": torch.ones(500, 12, 2)}


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_share_of_true_keypoints(share):
    mixed = mix_keypoints(many(), share, seed=0)
    chosen = mixed[..., 0] == 1
    assert abs(chosen.float().mean() - share) < 4 * (share * (1 - share) / 6000) ** 0.5 + 1e-9
    assert (mixed[chosen] == 1).all()
    assert (mixed[~chosen] == torch.tensor([0.0, 0.0, 0.5])).all()
    if 0 < share < 1:
        # Joint by joint, not person by person.
        per_person = chosen.float().mean(dim=1)
        assert per_person.std() == pytest.approx((share * (1 - share) / 12) ** 0.5, rel=0.15)


def test_mixing_leaves_the_batch_alone():
    batch = many()
    mix_keypoints(batch, 0.5, seed=0)
    assert (batch["keypoints"][..., :2] == 0).all()


def test_the_choice_is_its_seed():
    first = mix_keypoints(many(), 0.5, seed=3)
    torch.rand(7)  # numbers drawn elsewhere change nothing
    assert torch.equal(mix_keypoints(many(), 0.5, seed=3), first)
    assert not torch.equal(mix_keypoints(many(), 0.5, seed=4), first)


def test_the_learning_rate_rises_and_falls_as_half_a_cosine():
    shares = torch.tensor([warm_up_and_cosine(step / 1000) for step in range(1001)])
    rise, fall = shares[:50], shares[50:]
    # From a sixth of the highest, evenly, in a twentieth of the training.
    assert_close(rise, torch.linspace(1 / 6, 1, 51)[:50])
    assert_close(fall, 0.5 + 0.5 * torch.linspace(0, torch.pi, 951).cos())


FULL = SimpleNamespace(upsample=lambda vertices: [vertices])


def test_truth_has_no_error(batch, body):
    errors = body_errors(truth(batch), batch, FULL, body)
    assert set(errors) == {
        "mpjpe",
        "pa_mpjpe",
        "mesh_mpjpe",
        "mesh_pa_mpjpe",
        "pve",
        "smpl_pve",
    }
    for name, error in errors.items():
        assert error.shape == (3,), name
        # Millimetres; the alignment is a fit in float32.
        assert error.abs().max() < 2e-3, name


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("joints", {}),
        ("mesh_joints", {}),
        ("vertices", {"pve": 100 * 3**0.5}),
    ],
)
def test_a_shift_counts_for_vertices_only(batch, body, output, expected):
    moved = getattr(truth(batch), output) + 0.1
    errors = body_errors(truth(batch, **{output: moved}), batch, FULL, body)
    for name, error in errors.items():
        assert_close(error + 1, torch.full((3,), expected.get(name, 0.0) + 1), torch.float16)


def test_errors_of_single_joints(batch, body):
    # The right ankle, which no centre depends on, 120 mm off.
    joints = batch["joints"].clone()
    joints[:, 0, 1] += 0.12
    errors = body_errors(truth(batch, joints=joints), batch, FULL, body)
    assert_close(errors["mpjpe"], torch.full((3,), 10.0), torch.float16)
    assert (errors["mesh_mpjpe"] < 1e-2).all()


def test_errors_of_pose_and_shape(batch, body):
    errors = body_errors(truth(batch, betas=batch["betas"] + 1), batch, FULL, body)
    assert (errors["smpl_pve"] > 1).all()
    assert (errors["pve"] < 1e-2).all()


def test_mean_body(batch):
    mean = MeanBody(batch["joints"].mean(0), batch["vertices"].mean(0))
    errors = mean.errors(batch)
    assert set(errors) == {"mpjpe", "pa_mpjpe", "pve"}
    expected = 1000 * (batch["vertices"] - batch["vertices"].mean(0)).norm(dim=-1).mean(-1)
    assert_close(errors["pve"], expected)
    exact = MeanBody(batch["joints"][0], batch["vertices"][0]).errors(batch)
    assert exact["mpjpe"][0] < 1e-3
    assert (exact["mpjpe"][1:] > 1).all()
    # Centred on other joints, it is another error.
    moved = batch["joints"][0].index_add(0, torch.tensor([7]), torch.tensor([[0.12, 0.0, 0.0]]))
    hips = MeanBody(moved, batch["vertices"][0]).errors(batch)["mpjpe"][0]
    elbow = MeanBody(moved, batch["vertices"][0], root=(7,)).errors(batch)["mpjpe"][0]
    assert_close(torch.stack([hips, elbow]), torch.tensor([10.0, 110.0]), torch.float16)


class Shares(pl.Callback):
    """Collects what the training does at each step."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))


def test_a_training_runs(batch, body, monkeypatch):
    shares, seeds = [], []

    def mix(batch, share, seed):
        shares.append(share)
        seeds.append(seed)
        return mix_keypoints(batch, share, seed)

    monkeypatch.setattr("bilayer_graph.training.lightning.paper.mix_keypoints", mix)
    torch.manual_seed(0)
    model = assemble_model(CONFIG, body)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    samples = [{name: value[i] for name, value in batch.items()} for i in range(3)]
    steps = Shares()
    trainer = pl.Trainer(
        max_epochs=3,
        check_val_every_n_epoch=3,
        accelerator="cpu",
        callbacks=[steps],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    task = BilayerTraining(model, body, 1e-3, total_steps=8)
    trainer.fit(task, DataLoader(samples, 2), DataLoader(samples, 3))
    # Step by step, and there are two in an epoch.
    assert shares == [1 - step / 8 for step in range(6)]
    assert len(set(seeds)) == 6
    assert len(steps.losses) == 6
    assert steps.losses[-1] < steps.losses[0]
    unmoved = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    assert not unmoved
    logged = trainer.callback_metrics
    assert {"loss", "mpjpe", "pa_mpjpe", "pve", "smpl_pve", "train/skeleton"} <= set(logged)
    assert all(value.isfinite() for value in logged.values())
