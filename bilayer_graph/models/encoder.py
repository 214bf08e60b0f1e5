"""The image encoder: a torchvision backbone, its four stages and the pooled feature."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from bilayer_graph.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PLAIN = (24, 48, 96, 192)
"""Channels of the stages of the plain encoder."""


class ImageEncoder(nn.Module):
    """A convolutional backbone as four stages, at 1/4, 1/8, 1/16 and 1/32 of the picture.

    Args:
        stages: The four stages, applied one after the other; the first takes the picture.
        channels: Number of channels of each stage.

    Shapes:
        - image: ``[B, 3, H, W]``, RGB in [0, 1]
        - output: the four feature maps ``[B, C_i, H_i, W_i]``, and the last one's mean ``[B, C_4]``
    """

    mean: Tensor
    std: Tensor

    def __init__(self, stages: list[nn.Module], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = channels
        self.pooled_channels = channels[-1]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the feature maps and the pooled feature."""
        x = (image.to(self.mean.dtype) - self.mean) / self.std
        x = x.contiguous(memory_format=torch.channels_last)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps, x.mean(dim=(2, 3))


def image_encoder(backbone: str, weights: str | Path | None = None) -> ImageEncoder:
    """Build the encoder over a torchvision backbone.

    Args:
        backbone: ``"resnet50"`` (the paper's), ``"resnet18"``, ``"mobilenet_v2"``,
            ``"mobilenet_v3_small"``, or ``"plain"``: seven convolutions that learn from nothing in
            minutes.
        weights: Name of torchvision weights, for example ``"IMAGENET1K_V2"`` (downloaded once by
            torchvision); a local ``.safetensors`` or ``.pth`` state dict of the torchvision model;
            or ``None`` for random weights.

    Returns:
        The encoder, in training mode, convolutions in channels-last layout.

    Raises:
        InputError: If the backbone or the weights do not exist or do not fit each other.
    """
    if backbone not in (*_SPLITS, "plain"):
        raise InputError(
            "backbone", backbone, "no such backbone", f"Give one of {sorted([*_SPLITS, 'plain'])}"
        )
    if backbone == "plain":
        if weights is not None:
            raise InputError("weights", weights, "the plain encoder has none", "Leave them out")
        return ImageEncoder(_plain_stages(PLAIN), PLAIN).to(memory_format=torch.channels_last)
    path = None if weights is None else Path(weights)
    local = path is not None and (path.exists() or path.suffix in (".safetensors", ".pth"))
    try:
        net = torchvision.models.get_model(backbone, weights=None if local else weights)
    except (KeyError, ValueError) as error:
        known = [entry.name for entry in torchvision.models.get_model_weights(backbone)]
        raise InputError(
            "weights", weights, f"{backbone} has no such weights", f"Give a file or one of {known}"
        ) from error
    except OSError as error:
        remedy = "Connect to the internet once, or give a local file"
        raise InputError("weights", weights, f"no download ({error})", remedy) from error
    if path is not None and local:
        _load_backbone(net, path, backbone)
    stages, channels = _SPLITS[backbone](net)
    return ImageEncoder(stages, channels).to(memory_format=torch.channels_last)


def _load_backbone(net: nn.Module, path: Path, backbone: str) -> None:
    remedy = f"Give the state dict of torchvision's {backbone} as .safetensors or .pth"
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        # The classifier is not used, so files without one, or with other classes, are welcome.
        state = {k: v for k, v in state.items() if not k.startswith(("fc.", "classifier."))}
        missing, unexpected = net.load_state_dict(state, strict=False)
    except Exception as error:
        # Only the kind of error: torch's text advises to run the file's pickle.
        problem = f"cannot be read as weights ({type(error).__name__})"
        raise InputError("weights", path, problem, remedy) from error
    missing = [key for key in missing if not key.startswith(("fc.", "classifier."))]
    if missing or unexpected:
        problem = f"lacks {missing[:3]}, has unknown {unexpected[:3]}"
        raise InputError("weights", path, problem, remedy)


def _plain_stages(channels: tuple[int, ...]) -> list[nn.Module]:
    def layer(size: int, out: int, stride: int) -> nn.Sequential:
        conv = nn.Conv2d(size, out, 3, stride, padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())

    stages: list[nn.Module] = [nn.Sequential(layer(3, 16, 2), layer(16, channels[0], 2))]
    for size, out in pairwise(channels):
        stages.append(nn.Sequential(layer(size, out, 2), layer(out, out, 1)))
    return stages


def _split_resnet(net: Any) -> tuple[list[nn.Module], tuple[int, ...]]:
    stem = (net.conv1, net.bn1, net.relu, net.maxpool)
    stages = [nn.Sequential(*stem, net.layer1), net.layer2, net.layer3, net.layer4]
    width = net.fc.in_features // 8
    return stages, (width, 2 * width, 4 * width, 8 * width)


def _split_mobilenet_v2(net: Any) -> tuple[list[nn.Module], tuple[int, ...]]:
    layers = net.features
    return [layers[:4], layers[4:7], layers[7:14], layers[14:]], (24, 32, 96, 1280)


def _split_mobilenet_v3(net: Any) -> tuple[list[nn.Module], tuple[int, ...]]:
    layers = net.features
    return [layers[:2], layers[2:4], layers[4:9], layers[9:]], (16, 24, 48, 576)


_SPLITS: dict[str, Callable[[nn.Module], tuple[list[nn.Module], tuple[int, ...]]]] = {
    "resnet50": _split_resnet,
    "resnet18": _split_resnet,
    "mobilenet_v2": _split_mobilenet_v2,
    "mobilenet_v3_small": _split_mobilenet_v3,
}
