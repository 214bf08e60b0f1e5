"""Models that tests share, and people to show them."""

import dataclasses

import torch

from bilayer_graph.models import SMALL, ModelConfig

PICTURES = ModelConfig(
    backbone="mobilenet_v2",
    image_size=128,
    num_vertices=431,
    channels=128,
    num_blocks=3,
    hidden=512,
)
"""The paper's structure at a size for tests."""

BLIND = dataclasses.replace(SMALL, backbone="none", image_size=128, patch="linear")
"""The small variant without its picture: what it is trained as first."""

MODELS = {"paper": PICTURES, "small": BLIND}


def stirred(model):
    """Give the weights that a new model has at zero random values, so that everything counts."""
    for parameter in model.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3 * parameter.size(1) ** -0.5)
    return model


def seen_by(model, people, device="cpu"):
    """The picture and the keypoints that a model takes."""
    image = None if model.encoder is None else sized(people["image"], model.image_size).to(device)
    name = "keypoints" if model.joint_features.num_keypoints == 12 else "coco"
    return image, people[name].to(device)


def sized(image, side):
    """Pictures at the size that a model takes."""
    same = image.size(-1) == side
    return image if same else torch.nn.functional.interpolate(image, (side, side))


def run(model, people, device="cpu"):
    return model(*seen_by(model, people, device))
