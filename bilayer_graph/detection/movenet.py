"""The network of MoveNet: MobileNetV2, a feature pyramid up to stride 4, CenterNet heads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEADS_SINGLE = {"center": 1, "heatmap": 17, "regress": 34, "offset": 34}
"""Heads of the network for one person, with their channels."""

HEADS_MULTI = {**HEADS_SINGLE, "box_size": 2, "box_offset": 2}
"""Heads of the network for several people, with their channels."""

STRIDE = 4
"""Pixels of the picture a cell of the heads' maps."""

# Expansion, channels at width 1, blocks and stride of each stage of MobileNetV2.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_LAST = 1280
# Last block before the maps shrink to 1/8 and 1/16, and the last of the stage with 64 channels.
_TAPS = (2, 5, 9)
_PYRAMID = (24, 32, 64)
_HEAD = 96
# 2 / 255 in half precision, as the original has it: pixels of [0, 255] go to [-1, 1].
_SCALE = 255 * 0.007843017578125


class MoveNet(nn.Module):
    r"""The convolutional network of MoveNet, batch normalisation folded into the convolutions.

    MobileNetV2 (Sandler et al., CVPR 2018) gives maps at 1/4 to 1/32; a feature pyramid adds each
    to the upsampled coarser one; each head is a separable convolution and a linear one
    (CenterNet, Zhou et al., 2019). MoveNet MultiPose Lightning is ``width=1.5`` with
    :data:`HEADS_MULTI`, MoveNet SinglePose Thunder is ``width=1.75`` with :data:`HEADS_SINGLE`.

    Args:
        width: Multiplier of the backbone's channels.
        heads: Name and number of channels of each head.

    Shapes:
        - image: ``[B, 3, H, W]``, RGB in [0, 1], sides multiples of 32
        - output: one map ``[B, C, H / 4, W / 4]`` a head, in their order, without sigmoid
    """

    def __init__(self, width: float, heads: dict[str, int]) -> None:
        super().__init__()
        stem, channels = _widen(32, width), _widen(32, width)
        self.stem = _conv(3, stem, kernel=3, stride=2, groups=1)
        self.blocks = nn.ModuleList()
        taps = []
        for expansion, base, repeats, stride in _STAGES:
            for repeat in range(repeats):
                out = _widen(base, width)
                step = stride if repeat == 0 else 1
                self.blocks.append(InvertedResidual(channels, out, expansion, step))
                channels = out
                if len(self.blocks) - 1 in _TAPS:
                    taps.append(channels)
        self.last = nn.Sequential(_conv(channels, _LAST), nn.ReLU6(inplace=True))
        fine, middle, coarse = _PYRAMID
        self.lateral_channels = list(zip((*taps, _LAST), (*_PYRAMID, coarse), strict=True))
        self.lateral = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in self.lateral_channels)
        self.merge = nn.ModuleList(
            separable_conv(i, o) for i, o in ((fine, fine), (middle, fine), (coarse, middle))
        )
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(separable_conv(fine, _HEAD), nn.Conv2d(_HEAD, size, 1))
                for name, size in heads.items()
            }
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the heads' maps."""
        return self.read(self.maps(image)[0])

    def read(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the heads' maps from those of :meth:`maps`."""
        return tuple(head(maps[-1]) for head in self.heads.values())

    def maps(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return what the heads' maps come from.

        Returns:
            The maps at 1/4, 1/8 and 1/16, the lateral one at 1/32, the pyramid's at 1/4, which the
            heads see; and the last map of the backbone.
        """
        x = (image * _SCALE - 1).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.stem(pad(x)), inplace=True)
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in _TAPS:
                maps.append(x)
        last = self.last(x)
        lateral = x = self.lateral[-1](last)
        for i in reversed(range(len(_TAPS))):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.merge[i](x + self.lateral[i](maps[i]))
        return [*maps, lateral, x], last


class InvertedResidual(nn.Module):
    """The block of MobileNetV2: widen, convolve each channel, narrow; add the input if it fits.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        expansion: How many times wider the block is inside.
        stride: Stride of the convolution of each channel.

    Shapes:
        - input: ``[B, C_in, H, W]``, output: ``[B, C_out, H / stride, W / stride]``
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = _conv(in_channels, inner) if expansion > 1 else None
        self.depthwise = _conv(inner, inner, kernel=3, stride=stride, groups=inner)
        self.project = _conv(inner, out_channels)
        self.shrinks = stride == 2
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        inner = pad(x) if self.shrinks else x
        if self.expand is not None:
            inner = self.expand(inner)
            if self.shrinks:
                # Padded where it is six times narrower: there, the bias is no padding.
                inner[..., -1].zero_()
                inner[..., -1, :].zero_()
            inner = F.relu6(inner, inplace=True)
        out: Tensor = self.project(F.relu6(self.depthwise(inner), inplace=True))
        return x + out if self.residual else out


def pad(x: Tensor) -> Tensor:
    """Pad maps on the right and at the bottom, as the original does before a stride of 2."""
    return F.pad(x, (0, 1, 0, 1))


def separable_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3 x 3 convolution of each channel without bias, a linear one across them, a ReLU."""
    depthwise = nn.Conv2d(in_channels, in_channels, 3, 1, 1, groups=in_channels, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(in_channels, out_channels, 1), nn.ReLU(inplace=True))


def _conv(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    padding = kernel // 2 if stride == 1 else 0
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups)


def _widen(channels: int, width: float) -> int:
    """Return the multiple of 8 next to ``channels * width``, at the least 90 % of it."""
    wide = channels * width
    rounded = max(8, int(wide + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * wide else rounded + 8
