"""The loss, the schedule and the groups of the posed model's training."""

import dataclasses

import pytest
import torch

from bilayer_graph.body import BodyModel
from bilayer_graph.models import SMALL, SkeletonOutput, assemble_model
from bilayer_graph.synthetic import GeometrySamples, PoseBank
from bilayer_graph.testing import assert_close, sample_features
from bilayer_graph.training.lifting import (
    mesh_edges,
    mesh_terms,
    parameter_groups,
    skeleton_terms,
    warm_up_hold_decay,
)

BLIND = dataclasses.replace(SMALL, backbone="none", patch="linear")
TINY = dataclasses.replace(BLIND, channels=16, num_blocks=1, hidden=16)
BATCH = {
    "joints": sample_features(4, 12, 3),
    "vertices": sample_features(4, 20, 3, seed=1),
    "rotations": sample_features(4, 24, 3, 3, seed=2),
    "betas": sample_features(4, 10, seed=3),
}
EDGES = torch.tensor([[0, 3, 7], [1, 4, 19]])


def truth(**changes):
    values = {
        "joints": BATCH["joints"],
        "rotations": BATCH["rotations"],
        "betas": BATCH["betas"],
        "body_vertices": BATCH["vertices"],
        "body_joints": BATCH["joints"],
    }
    return SkeletonOutput(**{**values, **changes})


# One output moved by 0.1, and what that costs.
COSTS = {
    "joints": {"skeleton": 0.1},
    "body_vertices": {"body": 0.1},
    "body_joints": {"body_joints": 0.5 * 0.1},
    "rotations": {"rotations": 0.2 * 0.1},
    "betas": {"shape": 0.005 * 0.01},
}


@pytest.mark.parametrize("name", COSTS)
def test_coefficients_of_the_skeletons_terms(name):
    terms = skeleton_terms(truth(**{name: getattr(truth(), name) + 0.1}), BATCH)
    assert set(terms) == {"skeleton", "body", "body_joints", "rotations", "shape"}
    for term, value in terms.items():
        assert value.item() == pytest.approx(COSTS[name].get(term, 0.0), abs=1e-6), term


def test_coefficients_of_the_meshs_terms():
    vertices, joints = BATCH["vertices"], BATCH["joints"]
    moved = vertices.clone()
    moved[:, 3] += 0.3
    for (mesh, skeleton), expected in {
        (vertices, joints): (0, 0, 0),
        # A shift of all is no change along the edges.
        (vertices + 0.1, joints): (0.1, 0, 0),
        (vertices, joints + 0.1): (0, 0.5 * 0.1, 0),
        # One of 20 vertices, at one end of one of three edges.
        (moved, joints): (0.3 / 20, 0, 2 * 0.3 / 3),
    }.items():
        terms = mesh_terms(mesh, skeleton, BATCH, EDGES)
        found = [float(terms[name]) for name in ("mesh", "mesh_joints", "edges")]
        assert found == pytest.approx(expected, abs=1e-6)


def test_every_edge_once():
    faces = torch.tensor([[0, 1, 2], [2, 1, 3], [3, 0, 2]])
    edges = mesh_edges(faces)
    assert {tuple(pair) for pair in edges.t().tolist()} == {
        *((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    }
    assert edges.shape == (2, 6)


def test_the_learning_rate_rises_holds_and_falls():
    total = 10_000
    rates = torch.tensor([warm_up_hold_decay(step, total) for step in range(total + 1)])
    assert_close(rates[:200], torch.arange(1, 201) / 200)
    assert (rates[200:7000] == 1).all()
    assert (rates[7001:].diff() < 0).all()
    # 1 - sqrt of the share of the fall that is done: half of the way down after a quarter of it.
    assert rates[7750] == pytest.approx(0.5, abs=1e-3)
    assert rates[-1] == 0
    assert warm_up_hold_decay(2 * total, total) == 0
    # More steps change nothing of what was before the fall.
    longer = torch.tensor([warm_up_hold_decay(step, 2 * total) for step in range(7000)])
    assert torch.equal(longer, rates[:7000])


def test_only_weights_of_layers_decay():
    model = assemble_model(TINY, BodyModel.load())
    decayed, others = parameter_groups(model, 0.02)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.02, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [{names[id(p)] for p in group["params"]} for group in (decayed, others)]
    assert not found[0] & found[1]
    assert found[0] | found[1] == set(names.values())
    assert all(name.endswith("weight") and "norm" not in name for name in found[0])
    fused = {name for name in names.values() if name.endswith("conv.edge_weight")}
    assert len(fused) == 1
    assert fused <= found[1]
    assert {"blocks.0.branches.0.lin_in.weight", "readout.body_head.lin_out.weight"} <= found[0]
    assert all(model.get_parameter(name).dim() == 2 for name in found[0])


class Steps:
    """A training by hand: what Lightning does, without Lightning."""

    def __init__(self, mesh_share, total_steps, learning_rate=3e-3):
        pytest.importorskip("pytorch_lightning")
        from bilayer_graph.training.lightning import LiftingTraining

        torch.manual_seed(0)
        body = BodyModel.load()
        model = assemble_model(TINY, body)
        self.task = LiftingTraining(model, body, learning_rate, total_steps, mesh_share)
        self.task.log = lambda *_, **__: None
        poses = PoseBank(body, postures=20)
        self.samples = GeometrySamples(body, model.vertex_index, poses, 32, total_steps, seed=1)
        configured = self.task.configure_optimizers()
        self.optimizer = configured["optimizer"]
        self.schedule = configured["lr_scheduler"]["scheduler"]

    def run(self, monkeypatch):
        """Return the loss and the gradients' names of every step."""
        losses, learning = [], []
        for number in range(len(self.samples)):
            monkeypatch.setattr(type(self.task), "global_step", number)
            self.task.on_train_batch_start(self.samples[number], number)
            loss = self.task.training_step(self.samples[number], number)
            self.optimizer.zero_grad()
            loss.backward()
            learning.append(
                {n for n, p in self.task.model.named_parameters() if p.grad is not None}
            )
            self.task.on_before_optimizer_step(self.optimizer)
            self.optimizer.step()
            self.schedule.step()
            monkeypatch.setattr(type(self.task), "global_step", number + 1)
            self.task.on_train_batch_end(loss, {}, number)
            losses.append(float(loss.detach()))
        return losses, learning


def test_the_loss_falls(monkeypatch):
    losses, _ = Steps(0.0, 60).run(monkeypatch)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_the_mesh_branch_learns_alone_in_its_share_of_the_steps(monkeypatch):
    steps = Steps(0.4, 10)
    mesh = "readout.mesh_head.lin_out.weight"
    _, learning = steps.run(monkeypatch)
    assert [mesh in names for names in learning] == [False] * 6 + [True] * 4
    # The two parts share nothing, and leave out nothing.
    assert not learning[0] & learning[-1]
    assert learning[0] | learning[-1] == {name for name, _ in steps.task.model.named_parameters()}
    assert "readout.skeleton_head.lin_out.weight" in learning[0]


def test_the_mean_model_follows_the_weights(monkeypatch):
    steps = Steps(0.0, 5)
    task, name = steps.task, "readout.skeleton_head.lin_out.weight"
    expected, seen = task.model.get_parameter(name).detach().clone(), []
    follow = task.on_train_batch_end

    def watch(*given):
        follow(*given)
        seen.append(task.model.get_parameter(name).detach().clone())

    task.on_train_batch_end = watch
    steps.run(monkeypatch)
    for number, weights in enumerate(seen, start=1):
        # In the first steps the mean keeps less of what it was: 2/11 after the first one.
        keep = min(0.999, (number + 1) / (number + 10))
        expected = keep * expected + (1 - keep) * weights
    assert_close(task.mean_model.get_parameter(name), expected)
    assert not any(p.requires_grad for p in task.mean_model.parameters())


def test_a_gradient_is_clipped():
    task = Steps(0.0, 1).task
    for parameter in task.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    task.on_before_optimizer_step(None)
    norm = torch.stack([p.grad.norm() for p in task.model.parameters()]).norm()
    assert_close(norm, torch.tensor(1.0))
