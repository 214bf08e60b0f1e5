"""A training that is stopped and goes on is the training that was not."""

import dataclasses
import os

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import Dataset

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.models import SMALL, ModelConfig, assemble_model, load_model
from bilayer_graph.synthetic import GeometrySamples, PoseBank

pytest.importorskip("pytorch_lightning")
from bilayer_graph.training.lightning import BilayerTraining, LiftingTraining, fit
from bilayer_graph.training.lightning.fit import Run, prepare_folder

BLIND = dataclasses.replace(SMALL, backbone="none", patch="linear")
TINY = dataclasses.replace(BLIND, channels=16, num_blocks=1, hidden=16)
PICTURES = ModelConfig(
    backbone="plain", image_size=32, num_vertices=431, channels=16, num_blocks=1, hidden=16
)
EPOCHS, STEPS, SIZE = 3, 3, 4
CPU = {"precision": "32-true", "devices": 1}


class Killed(BaseException):
    """What stops a training without warning."""


class Watched(Dataset):
    """Samples that note what is asked for, and may end the training or spoil a batch."""

    def __init__(self, samples, kill_at=None, spoil_at=None, note=None):
        self.samples, self.kill_at, self.spoil_at, self.note = samples, kill_at, spoil_at, note
        self.seen = []

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, number):
        self.seen.append(number)
        if self.note is not None:
            with (self.note / f"{os.getpid()}").open("a") as file:
                file.write(f"{number}\n")
        if number == self.kill_at:
            raise Killed
        sample = self.samples[number]
        if number == self.spoil_at:
            sample["joints"] = sample["joints"] * torch.nan
        return sample


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def poses(body):
    return PoseBank(body, postures=20)


@pytest.fixture(scope="module")
def make(body, poses):
    """A task and its samples, always the same ones."""

    def tiny(batches=EPOCHS * STEPS, **watched):
        torch.manual_seed(0)
        model = assemble_model(TINY, body)
        task = LiftingTraining(model, body, 1e-3, EPOCHS * STEPS, mesh_share=0.4)
        index = model.vertex_index
        training = GeometrySamples(body, index, poses, SIZE, batches, seed=1)
        held_out = [
            GeometrySamples(body, index, poses, SIZE, 1, 2, noise) for noise in (False, True)
        ]
        return task, Watched(training, **watched), held_out

    return tiny


class Random(Dataset):
    """Pictures of noise with bodies of noise: what is learned does not matter."""

    def __init__(self, kill_at=None):
        self.kill_at = kill_at

    def __len__(self):
        return EPOCHS * STEPS * SIZE

    def __getitem__(self, number):
        if number == self.kill_at:
            raise Killed
        random = torch.Generator().manual_seed(number)
        shapes = {
            **{"image": (3, 32, 32), "keypoints": (12, 3), "keypoints_true": (12, 2)},
            **{"global_orient": (3, 3), "body_pose": (23, 3, 3), "betas": (10,)},
            **{"vertices": (6890, 3), "joints": (12, 3), "camera": (3,)},
        }
        return {name: torch.rand(shape, generator=random) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def pictures(body):
    def tiny(kill_at=None):
        torch.manual_seed(0)
        model = assemble_model(PICTURES, body)
        return BilayerTraining(model, body, 1e-3, EPOCHS * STEPS), Random(kill_at)

    return tiny


def run_in(folder, **changes):
    return Run(folder, **({"epochs": EPOCHS, "steps": STEPS} | CPU | changes))


def train(run, task, samples, held_out):
    prepare_folder(run)
    fit.fit(run, task, samples, held_out, None)
    return torch.load(run.out / "last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def whole(make, tmp_path_factory):
    """A training without interruption: its folder and its last checkpoint."""
    folder = tmp_path_factory.mktemp("whole")
    task, samples, held_out = make()
    state = train(run_in(folder), task, samples, held_out)
    assert samples.seen == list(range(EPOCHS * STEPS))
    return folder, state


def same_bits(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_leaves_a_checkpoint_and_weights(whole, body):
    folder, state = whole
    assert {"last.ckpt", "model.safetensors"} <= {path.name for path in folder.iterdir()}
    assert state["global_step"] == EPOCHS * STEPS
    # The weights are the mean's, not the last ones.
    exported = load_model(folder / "model.safetensors", body)
    for name, tensor in exported.state_dict().items():
        kept = state["state_dict"][f"mean_model.{name}"]
        kept = kept.half().float() if kept.is_floating_point() else kept
        assert torch.equal(tensor, kept), name
    lasts = [state["state_dict"][f"model.{name}"] for name in exported.state_dict()]
    means = [state["state_dict"][f"mean_model.{name}"] for name in exported.state_dict()]
    assert any(not torch.equal(a, b) for a, b in zip(lasts, means, strict=True))


def test_the_same_training_twice_has_the_same_bits(whole, make, tmp_path):
    again = train(run_in(tmp_path), *make())
    same_bits(again["state_dict"], whole[1]["state_dict"])


# At the first batch of an epoch, in its middle, at its end.
@pytest.mark.parametrize("kill_at", [3, 4, 8])
def test_a_training_that_was_killed_goes_on_to_the_same_bits(whole, make, tmp_path, kill_at):
    with pytest.raises(Killed):
        train(run_in(tmp_path), *make(kill_at=kill_at))
    half = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert half["global_step"] == kill_at // STEPS * STEPS
    task, samples, held_out = make()
    state = train(run_in(tmp_path, resume=True), task, samples, held_out)
    assert samples.seen == list(range(kill_at // STEPS * STEPS, EPOCHS * STEPS))
    assert state["global_step"] == EPOCHS * STEPS
    same_bits(state["state_dict"], whole[1]["state_dict"])
    for mine, theirs in zip(state["optimizer_states"], whole[1]["optimizer_states"], strict=True):
        for number, values in theirs["state"].items():
            same_bits(mine["state"][number], values)
    same_bits(*(load_file(path / "model.safetensors") for path in (tmp_path, whole[0])))


def test_processes_that_make_samples_go_on_with_the_same_ones(whole, make, tmp_path):
    train(run_in(tmp_path, epochs=1, workers=1), *make())
    state = train(run_in(tmp_path, resume=True, workers=1), *make())
    same_bits(state["state_dict"], whole[1]["state_dict"])


def test_a_training_that_was_killed_before_its_first_checkpoint(make, tmp_path):
    with pytest.raises(Killed):
        train(run_in(tmp_path), *make(kill_at=1))
    with pytest.raises(InputError, match=r"^--resume=.*last.ckpt: no such checkpoint.*without"):
        prepare_folder(run_in(tmp_path, resume=True))
    prepare_folder(run_in(tmp_path))


def test_a_training_on_pictures_goes_on_to_the_same_bits(pictures, tmp_path):
    states = []
    for name, kill_at in {"whole": None, "killed": STEPS * SIZE + 5}.items():
        run, (task, samples) = run_in(tmp_path / name), pictures(kill_at)
        prepare_folder(run)
        if kill_at is not None:
            with pytest.raises(Killed):
                fit.fit(run, task, samples, [Random()], SIZE)
            run, (task, samples) = dataclasses.replace(run, resume=True), pictures()
            prepare_folder(run)
        fit.fit(run, task, samples, [Random()], SIZE)
        states.append(torch.load(run.out / "last.ckpt", weights_only=True))
    same_bits(states[1]["state_dict"], states[0]["state_dict"])
    schedule = states[0]["lr_schedulers"][0]
    assert schedule["last_epoch"] == EPOCHS * STEPS  # counted by steps
    assert schedule["_last_lr"] == pytest.approx([0.0])


def test_a_longer_training_goes_on_from_a_finished_one(whole, make, tmp_path):
    (tmp_path / "last.ckpt").write_bytes((whole[0] / "last.ckpt").read_bytes())
    run = run_in(tmp_path, epochs=EPOCHS + 1, resume=True)
    task, samples, held_out = make(batches=(EPOCHS + 1) * STEPS)
    state = train(run, task, samples, held_out)
    assert samples.seen == list(range(EPOCHS * STEPS, (EPOCHS + 1) * STEPS))
    assert state["global_step"] == (EPOCHS + 1) * STEPS


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_epoch(make, tmp_path):
    with pytest.raises(InputError, match=r"^loss=nan: not finite in batch 4\b.*--resume .*--lr"):
        train(run_in(tmp_path), *make(spoil_at=4))
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["global_step"] == STEPS
    assert all(x.isfinite().all() for x in state["state_dict"].values())
    load_model(tmp_path / "model.safetensors")


def test_a_finished_run_is_not_lost_unless_told(whole):
    content = (whole[0] / "last.ckpt").read_bytes()
    message = r"^--out=.*holds a training \(last.ckpt, model.safetensors\).*--resume .*--overwrite"
    with pytest.raises(InputError, match=message):
        prepare_folder(run_in(whole[0]))
    assert (whole[0] / "last.ckpt").read_bytes() == content


@pytest.mark.parametrize("name", ["last.ckpt", "model.safetensors"])
def test_overwrite_loses_a_run(tmp_path, name):
    (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"^--out=.*holds a training"):
        prepare_folder(run_in(tmp_path))
    prepare_folder(run_in(tmp_path, overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"text"])
def test_a_truncated_checkpoint(tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=r"^--resume=.*last.ckpt: truncated, or no checkpoint"):
        prepare_folder(run_in(tmp_path, resume=True))


def test_a_checkpoint_cut_in_half(whole, tmp_path):
    content = (whole[0] / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"^--resume=.*last.ckpt: truncated, or no checkpoint"):
        prepare_folder(run_in(tmp_path, resume=True))


@pytest.mark.parametrize("content", [{}, [1, 2], {"state_dict": {}}, torch.zeros(3)], ids=str)
def test_a_file_of_torch_that_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"^--resume=.*no checkpoint of a training"):
        prepare_folder(run_in(tmp_path, resume=True))


def test_the_checkpoint_of_another_model(whole, pictures, tmp_path):
    (tmp_path / "last.ckpt").write_bytes((whole[0] / "last.ckpt").read_bytes())
    run = run_in(tmp_path, epochs=EPOCHS + 1, resume=True)
    prepare_folder(run)
    task, samples = pictures()
    with pytest.raises(InputError, match=r"^--resume=.*of another training .*Give the options of"):
        fit.fit(run, task, samples, [Random()], SIZE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.update(state_dict=None),
        lambda state: state.update(state_dict={}),
        lambda state: state.update(optimizer_states=[]),
        lambda state: state.update(optimizer_states=[{"state": {}, "param_groups": []}]),
        lambda state: state.update(lr_schedulers=[3]),
        lambda state: state.update(loops={"fit_loop": None}),
        lambda state: state.update(callbacks=[1]),
        lambda state: state.pop("optimizer_states"),
        lambda state: state.pop("loops"),
        lambda state: state.pop("state_dict"),
    ],
)
def test_a_damaged_state(whole, make, tmp_path, damage):
    state = torch.load(whole[0] / "last.ckpt", weights_only=True)
    damage(state)
    torch.save(state, tmp_path / "last.ckpt")
    message = r"^--resume=.*(of another|no checkpoint of a) training.*(Give the options|without)"
    with pytest.raises(InputError, match=message):
        train(run_in(tmp_path, epochs=EPOCHS + 1, resume=True), *make())


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match=r"^--out=.*cannot be made .*Give a folder"):
            prepare_folder(run_in(folder))


def test_a_disk_that_takes_no_more(make, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fit, "save_model", full)
    with pytest.raises(InputError, match=r"^--out=.*No space left on device.*--resume goes on"):
        train(run_in(tmp_path), *make())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_two_devices_train_as_many_steps_as_one_on_other_samples(make, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "_strategy", lambda: "ddp_fork_find_unused_parameters_true")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "seen").mkdir()
    task, samples, held_out = make(batches=2 * EPOCHS * STEPS, note=tmp_path / "seen")
    state = train(run_in(tmp_path / "out", devices=2), task, samples, held_out)
    assert state["global_step"] == EPOCHS * STEPS
    seen = [
        [int(line) for line in path.read_text().split()] for path in (tmp_path / "seen").iterdir()
    ]
    assert sorted(seen) == [list(range(0, 18, 2)), list(range(1, 18, 2))]
    # The learning rate reaches its end.
    assert state["lr_schedulers"][0]["last_epoch"] == EPOCHS * STEPS


def test_errors_are_printed_after_each_epoch(make, tmp_path, capsys):
    train(run_in(tmp_path, epochs=1), *make())
    printed = capsys.readouterr().out
    for name in ("true/mpjpe", "noisy/pa_mpjpe", "true/pve"):
        assert f"{name} " in printed
    assert "epoch 1: " in printed
