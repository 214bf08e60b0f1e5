"""Fine-tuning on pictures that were looked at before, and measuring from whole ones."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Dataset, StackDataset

from bilayer_graph import Predictor
from bilayer_graph.body import COCO_TO_JOINTS, BodyModel, ReducedBody
from bilayer_graph.cli import train as command
from bilayer_graph.cli.main import main
from bilayer_graph.detection import DetectedPerson
from bilayer_graph.errors import InputError
from bilayer_graph.models import SMALL, assemble_model, load_model, save_model
from bilayer_graph.synthetic import GeometrySamples, PoseBank, Scenes
from bilayer_graph.synthetic.cached_pictures import CachedPictures, PicturedPeople, write_people
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.figures import sample_figures
from bilayer_graph.training.whole_pictures import evaluate_pictures

pytest.importorskip("pytorch_lightning")
from bilayer_graph.training.lightning import LiftingTraining, PicturedTraining, fit
from bilayer_graph.training.lightning.fit import Run, prepare_folder
from bilayer_graph.training.lightning.pictured import BLIND, PICTURE

TINY = dataclasses.replace(SMALL, channels=16, num_blocks=1, hidden=16)
EPOCHS, STEPS, SIZE = 2, 2, 4


class Killed(BaseException):
    """What stops a training without warning."""


class Watched(Dataset):
    """Samples that may end the training."""

    def __init__(self, samples, kill_at):
        self.samples, self.kill_at = samples, kill_at

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, number):
        if number == self.kill_at:
            raise Killed
        return self.samples[number]


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def poses(body):
    return PoseBank(body, postures=20)


@pytest.fixture(scope="module")
def people(body, poses):
    reduced = ReducedBody(body, torch.arange(1))
    betas, bones, *_ = sample_figures(Draws(3, torch.arange(8)), poses, reduced)
    points = reduced.keypoints(bones) + torch.tensor([0.1, -0.2, 4.0])
    pixels = 300 * points[..., :2] / points[..., 2:] + 160
    return PicturedPeople(
        keypoints=torch.cat([pixels, torch.full((8, 17, 1), 0.9)], dim=-1),
        patches=torch.randn(8, 17, 296, generator=torch.Generator().manual_seed(0)).half(),
        joints=reduced.joints(bones),
        rotations=bones.turn,
        betas=betas,
        focal=torch.full((8,), 300.0),
        size=torch.full((8, 2), 320.0),
        true=pixels,
        visible=torch.ones(8, 17, dtype=torch.bool),
    )


@pytest.fixture(scope="module")
def tune(body, poses, people, tmp_path_factory):
    """Fine-tune a tiny model; return the task and its last checkpoint."""

    def tuned(out=None, picture=True, mesh_share=0.0, kill_at=None, resume=False):
        torch.manual_seed(0)
        model = assemble_model(TINY, body)
        index = model.vertex_index
        seen = CachedPictures(body, index, people, SIZE, EPOCHS * STEPS, seed=1)
        alone = GeometrySamples(body, index, poses, SIZE, EPOCHS * STEPS, seed=1)
        both = Watched(StackDataset(**{PICTURE: seen, BLIND: alone}), kill_at)
        held_out = [CachedPictures(body, index, people, SIZE), alone, alone]
        task = PicturedTraining(model, body, 1e-3, EPOCHS * STEPS, mesh_share, picture)
        folder = out or tmp_path_factory.mktemp("run")
        run = Run(folder, EPOCHS, STEPS, "32-true", resume=resume, devices=1)
        prepare_folder(run)
        fit.fit(run, task, both, held_out, None)
        return task, torch.load(folder / "last.ckpt", weights_only=True)

    return tuned


@pytest.fixture(scope="module")
def whole(tune):
    return tune()


def same_bits(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_goes_on_as_if_it_had_not_been_stopped(tune, whole, tmp_path):
    with pytest.raises(Killed):
        tune(tmp_path, kill_at=3)
    _, state = tune(tmp_path, resume=True)
    same_bits(state["state_dict"], whole[1]["state_dict"])
    assert not any("encoder" in name for name in state["state_dict"])


def test_the_learning_rates_fall_by_steps_as_half_a_cosine(whole):
    task, state = whole
    shares = [task.share_of_rate(step) for step in range(EPOCHS * STEPS + 1)]
    assert shares == pytest.approx([1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0])
    (schedule,) = state["lr_schedulers"]
    assert schedule["last_epoch"] == EPOCHS * STEPS
    assert schedule["_last_lr"] == pytest.approx([0.0] * 4)
    assert schedule["base_lrs"] == pytest.approx([5e-3, 1e-3, 5e-3, 1e-3])


def test_pictures_reach_the_adapter_and_no_encoder(tune, whole, body):
    task, _ = whole
    adapter = task.model.joint_features.joint_features.lin_patch
    assert adapter.lin_out.weight.any()
    new = assemble_model(TINY, body).encoder
    same_bits(dict(new.named_parameters()), dict(task.model.encoder.named_parameters()))


def test_no_training_reaches_a_frozen_encoder(body):
    model = assemble_model(TINY, body)
    frozen = {id(parameter) for parameter in model.encoder.parameters()}
    task = LiftingTraining(model, body, 1e-3, 10)
    names = [name for name, parameter in model.named_parameters() if id(parameter) in frozen]
    assert names
    assert not any(task.learns(name) for name in names)
    groups = task.configure_optimizers()["optimizer"].param_groups
    assert not frozen & {id(parameter) for group in groups for parameter in group["params"]}


def test_the_control_sees_no_picture(tune):
    task, _ = tune(picture=False)
    assert not task.model.joint_features.joint_features.lin_patch.lin_out.weight.any()


def test_the_mesh_branch_learns_in_its_share_of_the_steps(tune, whole):
    assert not whole[0].model.readout.mesh_head.lin_out.weight.any()
    task, _ = tune(mesh_share=0.5)
    assert task.skeleton_steps == EPOCHS * STEPS / 2
    assert task.model.readout.mesh_head.lin_out.weight.any()


def folder_of(people, path):
    for name in ("train", "held_out"):
        (path / name).mkdir()
        write_people(path / name / "0.safetensors", people)
    return path


def test_the_command(people, body, poses, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "PoseBank", lambda *_, **__: poses)
    weights, out = tmp_path / "blind.safetensors", tmp_path / "out"
    blind = dataclasses.replace(TINY, backbone="none", patch="linear")
    save_model(assemble_model(blind, body), weights)
    folder = str(folder_of(people, tmp_path))
    words = ["--pictures", folder, "--epochs", "1", "--steps", "1", "--batch-size", "4"]
    words += ["--validation", "4", "--out", str(out), "--init", str(weights)]
    assert main(["train", *words]) == 0
    printed = capsys.readouterr().out
    for name in ("pictured/pa_mpjpe", "true/pa_mpjpe", "noisy/pa_mpjpe"):
        assert name in printed
    assert "--weights" in printed
    assert load_model(out / "model.safetensors", body).config == TINY


def test_options_that_do_not_go_together(people, body, tmp_path):
    given = SimpleNamespace(init=None, pictures=tmp_path, no_picture=False)
    with pytest.raises(InputError, match=r"^--pictures=.*Give --init with weights"):
        command._start(given, body)
    given = SimpleNamespace(pictures=None, no_picture=True)
    with pytest.raises(InputError, match=r"^--no-picture=True.*Give --pictures"):
        command._way(given, None)
    few = people._replace(patches=people.patches[..., :9])
    given = SimpleNamespace(pictures=folder_of(few, tmp_path))
    with pytest.raises(InputError, match=r"^--pictures=.*patches of another encoder"):
        command._with_cached_pictures(given, assemble_model(TINY, body), body, 1)


def test_errors_from_whole_pictures(body, poses):
    scenes = Scenes(body, poses, 3, ((48, 64),), seed=2)
    samples = scenes.__getitems__(range(3))

    def detector(image):
        """Knows everybody but the last."""
        for sample in samples[:2]:
            if torch.equal(image, sample["picture"]):
                points = sample["keypoints_true"]
                keypoints = torch.cat([points, torch.ones(17, 1)], dim=1)
                return [
                    DetectedPerson(keypoints + torch.tensor([shift, 0.0, 0.0]), torch.zeros(4), 0.9)
                    for shift in (4.0, 0.0)
                ]
        return []

    torch.manual_seed(0)
    predictor = Predictor(assemble_model(TINY, body).eval(), body, detector)
    shown = []
    predictor.model.encoder.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    result = evaluate_pictures(predictor, scenes)
    assert result.found.tolist() == [True, True, False]
    assert {"MPJPE", "PA-MPJPE", "PVE", "near", "stretched", "volume"} < set(result.errors)
    assert all(len(values) == 2 for values in result.errors.values())
    assert torch.equal(result.errors["found 0.05"], torch.ones(2))
    for kind, family in result.families.items():
        assert (torch.stack(list(family.values())).sum(0) == 1).all(), kind
    errors = result.families["mean error of the limb keypoints"]
    assert errors["below 0.05 of the box"].tolist() == [True, True, False]
    assert errors["nobody found"].tolist() == [False, False, True]
    for number, sample in enumerate(samples):
        depth = sample["place"].norm()
        assert result.families["distance"]["below 4 m"][number] == (depth < 4)
        # Who was missed is of the other families all the same.
        seen = int(sample["visible"][list(COCO_TO_JOINTS)].sum())
        assert result.families["limb joints hidden"]["3 and more"][number] == (seen < 10)
    # The crops that the predictor makes.
    assert [image.shape for image in shown] == [(4, 3, 256, 256)]
