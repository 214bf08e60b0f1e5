import copy
import dataclasses
import json
import pickle

import pytest
import torch
from model_samples import BLIND, PICTURES, run, stirred
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from bilayer_graph.errors import InputError
from bilayer_graph.models import PAPER, SMALL, assemble_model, checkpoint, load_model, save_model


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    return path


def rewrite(path, change):
    """Write the file again, its tensors and metadata changed by a function."""
    with safe_open(path, framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    change(state, metadata)
    save_file(state, path, metadata)


def test_weights_come_back_in_half_precision(model, path):
    again = load_model(path)
    assert not again.training
    assert again.config == model.config
    state = model.state_dict()
    for name, tensor in again.state_dict().items():
        wanted = state[name]
        if wanted.is_floating_point():
            assert tensor.dtype == torch.float32
            wanted = wanted.half().float()
        assert torch.equal(tensor, wanted), name


def test_answers_come_back(model, people, path):
    with torch.no_grad():
        expected, out = run(model, people), run(load_model(path), people)
    for name in ("joints", "vertices", "camera", "betas"):
        got, wanted = getattr(out, name), getattr(expected, name)
        assert (got - wanted).abs().max() < 0.02 * wanted.abs().max(), name


def test_writing_again_changes_nothing(path, tmp_path):
    save_model(load_model(path), tmp_path / "again.safetensors")
    first, second = load_file(path), load_file(tmp_path / "again.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_file_is_small_and_alone(path):
    assert path.stat().st_size < 16e6
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_no_reader_meets_half_a_file(model, path, monkeypatch):
    """While the new weights are written, and after a disk that is full, the old ones are there."""
    whole, seen = path.read_bytes(), []

    def full(state, target, metadata):
        with open(target, "wb") as file:
            file.write(b"half a file")
        seen.append(path.read_bytes())
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match=r"^path=.*No space left.*Give a folder.*with space"):
        save_model(model, path)
    assert seen == [whole]
    assert path.read_bytes() == whole
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_expected_variant(body, papers, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(assemble_model(SMALL, body), path)
    assert load_model(path, variant="small").config == SMALL
    message = r"^weights=.*holds ModelConfig\(.*channels=64.*, not 'paper'.*Give weights of 'paper'"
    with pytest.raises(InputError, match=message):
        load_model(path, variant="paper")
    save_model(papers, path)
    with pytest.raises(InputError, match=r"^weights=.*not 'small'.*or leave the variant out"):
        load_model(path, variant="small")


def test_weights_of_a_model_that_is_not_what_it_says(path):
    rewrite(path, lambda state, metadata: metadata.update(config=PAPER.to_json()))
    with pytest.raises(InputError, match=r"^weights=.*model.safetensors: .*Give"):
        load_model(path)


@pytest.mark.parametrize("config", ["", "[]", '{"norm": "batch"}', '{"layers": 3}'])
def test_a_config_that_is_none(path, config):
    rewrite(path, lambda state, metadata: metadata.update(config=config))
    with pytest.raises(InputError, match=r"^weights=.*of an unknown model .*Give a \.safe"):
        load_model(path)


ASSEMBLED = {
    "mesh only in name": dataclasses.replace(PICTURES, backbone="none", num_blocks=1),
    "layer norm": dataclasses.replace(PICTURES, norm="layer", backbone="plain", num_blocks=2),
    "poses seen, mesh free": dataclasses.replace(
        PICTURES, joint_input="pose", backbone="none", hidden=32
    ),
    "picture of the detector": dataclasses.replace(SMALL, channels=32, num_blocks=1, hidden=32),
    "no face": dataclasses.replace(BLIND, face=False, num_blocks=1),
    "picture and body": dataclasses.replace(BLIND, backbone="plain", channels=32, num_blocks=1),
    "whole mesh": dataclasses.replace(BLIND, num_vertices=1723, channels=16, num_blocks=1),
}


@pytest.mark.parametrize("name", ASSEMBLED)
def test_any_model_that_can_be_assembled(body, people, tmp_path, name):
    torch.manual_seed(0)
    model = stirred(assemble_model(ASSEMBLED[name], body)).eval()
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert again.config == ASSEMBLED[name]
    with torch.no_grad():
        expected, out = run(model, people), run(again, people)
    assert (out.vertices - expected.vertices).abs().max() < 0.02 * expected.vertices.abs().max()


def test_a_model_of_another_body(sphere_body, people, tmp_path):
    config = dataclasses.replace(BLIND, num_vertices=100, num_blocks=1)
    model = assemble_model(config, sphere_body).eval()
    save_model(model, tmp_path / "model.safetensors")
    out = run(load_model(tmp_path / "model.safetensors", sphere_body), people)
    assert out.vertices.shape == (4, 100, 3)
    with pytest.raises(
        InputError, match=r"^weights=.*do not fit this body \(num_vertices=100: .*Give the body"
    ):
        load_model(tmp_path / "model.safetensors")


def test_float32_whatever_the_default(path):
    torch.set_default_dtype(torch.float64)
    try:
        model = load_model(path)
    finally:
        torch.set_default_dtype(torch.float32)
    tensors = [*model.parameters(), *model.buffers()]
    assert {x.dtype for x in tensors if x.is_floating_point()} == {torch.float32}


def test_a_folder_that_cannot_be_written_to(small, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^path=.*cannot be written .*Give a folder"):
        save_model(small, tmp_path / "file" / "model.safetensors")


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 300])
def test_a_name_that_cannot_be_written(small, tmp_path, name):
    with pytest.raises(InputError, match=r"^path=.*cannot be written .*Give a folder"):
        save_model(small, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"^weights=.*truncated, or not a safetensors.*Give a"):
        load_model(path)


@pytest.mark.parametrize(
    "content",
    [b"not weights", bytes(1000), pickle.dumps({"a": 1})],
    ids=["text", "zeros", "pickle"],
)
def test_file_of_another_type(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(InputError, match=r"^weights=.*not a safetensors file.*Give a"):
        load_model(tmp_path / "other")


def test_a_torch_checkpoint(small, tmp_path):
    torch.save(small.state_dict(), tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"^weights=.*last.ckpt: .*not a safetensors file"):
        load_model(tmp_path / "last.ckpt")


def test_safetensors_of_another_program(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"^weights=.*not a checkpoint of this package.*Give a"):
        load_model(tmp_path / "other.safetensors")


@pytest.mark.parametrize("name", ["none.safetensors", "."])
def test_no_such_file(tmp_path, name):
    with pytest.raises(InputError, match=r"^weights=.*: no such file.*Give a \.safetensors"):
        load_model(tmp_path / name)


def test_another_body(path, sphere_body):
    message = r"^weights=.*trained on a body with another mesh.*Give the body"
    with pytest.raises(InputError, match=message):
        load_model(path, sphere_body)


def drop(state, metadata):
    del state["readout.mesh_head.lin_out.weight"]


def resize(state, metadata):
    state["readout.mesh_head.lin_out.weight"] = torch.zeros(4, 64)


@pytest.mark.parametrize("change", [drop, resize])
def test_a_tensor_that_does_not_fit(path, change):
    rewrite(path, change)
    message = r"^weights=.*does not fit its own model .*readout\.mesh_head\.lin_out\.weight.*Give a"
    with pytest.raises(InputError, match=message):
        load_model(path)


BIAS = "blocks.0.branches.0.conv.bias"


@pytest.mark.parametrize("value", [1e5, -7e4, float("inf"), float("nan")])
def test_values_beyond_half_precision_are_not_written(small, tmp_path, value):
    model = copy.deepcopy(small)
    with torch.no_grad():
        model.get_parameter(BIAS)[3] = value
    with pytest.raises(InputError, match=rf"^model={BIAS}: .*half precision.*Keep"):
        save_model(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_values_that_are_not_finite_are_not_read(path, value):
    rewrite(path, lambda state, metadata: state[BIAS].fill_(value))
    with pytest.raises(InputError, match=rf"^weights=.*{BIAS} holds NaN or infinity.*Give a"):
        load_model(path)


@pytest.mark.parametrize("dtype", [torch.int16, torch.bool, torch.complex64])
def test_numbers_of_another_kind(path, dtype):
    rewrite(path, lambda state, metadata: state.update({BIAS: state[BIAS].to(dtype)}))
    with pytest.raises(InputError, match=rf"^weights=.*does not fit.*{BIAS} is {dtype}.*Give a"):
        load_model(path)


@pytest.mark.parametrize("size", ["channels", "num_blocks", "hidden"])
def test_sizes_that_promise_more_than_there_is(small, tmp_path, size):
    path = tmp_path / "model.safetensors"
    save_model(small, path)
    config = json.loads(small.config.to_json()) | {size: 10**8}
    rewrite(path, lambda state, metadata: metadata.update(config=json.dumps(config)))
    with pytest.raises(InputError, match=r"^weights=.*does not fit.*weights and more.*Give a"):
        load_model(path)


def test_wider_numbers_are_read(path):
    expected = load_model(path).state_dict()[BIAS]
    rewrite(path, lambda state, metadata: state.update({BIAS: state[BIAS].double()}))
    assert torch.equal(load_model(path).state_dict()[BIAS], expected)


def header(content: bytes, **changes) -> bytes:
    """The file with the entry of one tensor changed."""
    size = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + size])
    entries[BIAS] |= changes
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [10**12]},
        {"shape": [2**62, 4]},
        {"shape": [-1]},
        {"data_offsets": [0, 2**62]},
        {"data_offsets": None},
        {"dtype": "F128"},
    ],
)
def test_forged_headers(path, changes):
    path.write_bytes(header(path.read_bytes(), **changes))
    with pytest.raises(InputError, match=r"^weights=.*not a safetensors file.*Give a"):
        load_model(path)


@pytest.mark.parametrize("size", [2**26, 2**43, 2**64 - 1])
def test_headers_that_promise_more_than_there_is(path, size):
    path.write_bytes(size.to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(InputError, match=r"^weights=.*not a safetensors file.*Give a"):
        load_model(path)


def test_a_name_that_no_file_can_have(tmp_path):
    with pytest.raises(InputError, match=r"^weights=.*Give a"):
        load_model(tmp_path / ("x" * 5000))
