import dataclasses
import json

import pytest

from bilayer_graph.errors import InputError
from bilayer_graph.models import PAPER, SMALL, VARIANTS, ModelConfig, assemble_model

NAMES = [field.name for field in dataclasses.fields(ModelConfig)]


def test_the_defaults_are_the_papers():
    assert ModelConfig() == PAPER == VARIANTS["paper"]
    assert VARIANTS["small"] == SMALL
    assert (PAPER.backbone, PAPER.num_vertices, PAPER.channels) == ("resnet50", 1723, 512)
    assert (PAPER.norm, PAPER.joint_input, PAPER.readout) == ("group", "node", "free")


@pytest.mark.parametrize("config", [PAPER, SMALL, dataclasses.replace(SMALL, face=False)], ids=str)
def test_json_round_trip(config):
    text = config.to_json()
    assert ModelConfig.from_json(text) == config
    assert set(json.loads(text)) == set(NAMES)


def test_fields_that_a_file_lacks_are_the_defaults():
    assert ModelConfig.from_json('{"channels": 64}') == ModelConfig(channels=64)


BAD = {
    "backbone": ["vgg", None, 3],
    "image_size": [0, -1, 224.0, "224", True],
    "num_vertices": [0, None, 431.5],
    "channels": [0, -16, "64", [64]],
    "num_blocks": [0, 2.0, False],
    "norm": ["batch", "", None],
    "joint_input": ["edge", 1],
    "face": [1, "yes", None],
    "readout": ["posed ", None],
    "hidden": [0, 1.5],
    "patch": ["bilinear", None],
}
EVERY_BAD = [(name, value) for name, values in BAD.items() for value in values]


def test_every_field_is_checked():
    assert list(BAD) == NAMES


@pytest.mark.parametrize(("name", "value"), EVERY_BAD, ids=str)
def test_bad_fields(name, value):
    with pytest.raises(InputError, match=rf"^{name}=.*Give "):
        ModelConfig(**{name: value})
    with pytest.raises(InputError, match=r"^config=.*Give what ModelConfig.to_json writes"):
        ModelConfig.from_json(json.dumps({name: value}))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '"small"', '{"layers": 3}', "[" * 100_000, '{"hidden": NaN}'],
    ids=lambda text: text[:12],
)
def test_text_that_is_no_config(text):
    with pytest.raises(InputError, match=r"^config=.*: no model .*Give what"):
        ModelConfig.from_json(text)


def test_a_joint_that_sees_itself_only_has_no_use_for_a_face():
    with pytest.raises(InputError, match=r'^face=True: .*Give joint_input="pose", or face=False'):
        ModelConfig(face=True)


def test_a_width_that_the_blocks_do_not_take(body):
    config = dataclasses.replace(SMALL, channels=40)
    with pytest.raises(InputError, match=r"^out_channels=40: not a multiple of 16"):
        assemble_model(config, body)
