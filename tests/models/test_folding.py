import dataclasses

import pytest
import torch

from bilayer_graph.errors import InputError
from bilayer_graph.models import PAPER, assemble_model, fold_batch_norms, save_model
from bilayer_graph.testing import assert_close


def model_of(backbone, body):
    """A narrow model whose encoder's batch norms have statistics of their own."""
    torch.manual_seed(1)
    sizes = {"image_size": 64, "num_vertices": 431, "channels": 16, "num_blocks": 1, "hidden": 16}
    model = assemble_model(dataclasses.replace(PAPER, backbone=backbone, **sizes), body)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def batch_norms(model):
    return sum(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize(
    "backbone", ["resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "plain"]
)
def test_the_same_answers_without_batch_norms(backbone, body):
    model = model_of(backbone, body)
    image = torch.rand(2, 3, 64, 64)
    before = batch_norms(model)
    folded = fold_batch_norms(model)
    assert (batch_norms(folded), batch_norms(model)) == (0, before)
    (maps, pooled), (plain_maps, plain_pooled) = folded.encoder(image), model.encoder(image)
    for actual, expected in zip((*maps, pooled), (*plain_maps, plain_pooled), strict=True):
        assert_close(actual, expected)
    keypoints = torch.rand(2, 12, 3)
    assert_close(folded(image, keypoints).joints, model(image, keypoints).joints)


def test_a_model_without_batch_norms_is_copied(body):
    model = model_of("none", body).train()
    folded = fold_batch_norms(model)
    assert folded is not model
    assert (folded.training, model.training) == (False, True)
    assert folded.state_dict().keys() == model.state_dict().keys()


def test_a_folded_model_is_not_saved(body, tmp_path):
    folded = fold_batch_norms(model_of("plain", body))
    with pytest.raises(InputError, match=r"^model=fold_batch_norms.*Save the model that it was"):
        save_model(folded, tmp_path / "folded.safetensors")
    assert not list(tmp_path.iterdir())
