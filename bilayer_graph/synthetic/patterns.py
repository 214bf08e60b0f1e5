"""Fabrics: plain, striped, checked, dotted or mottled, as functions of two coordinates."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.synthetic.draws import Draws

_KINDS = {"plain": 6.0, "across": 2.0, "along": 1.0, "checks": 1.5, "dots": 1.0, "mottled": 1.5}


class Fabric(NamedTuple):
    """One fabric a sample: two colours and a pattern.

    Attributes:
        colours: ``[B, 2, 3]`` RGB in [0, 1].
        kind: ``[B]`` place of the pattern in the list of kinds.
        wave: ``[B, 3]`` radians a metre, phase, and the wave's height where the colour changes.
    """

    colours: Tensor
    kind: Tensor
    wave: Tensor


def sample_fabric(draws: Draws, name: str) -> Fabric:
    """Draw a fabric; the name keeps the fabrics of one sample apart."""
    first = sample_colour(draws, f"{name} colour")
    second = sample_colour(draws, f"{name} second colour")
    # Half of the second colours are a lighter or darker first one.
    shade = draws.uniform(f"{name} shade", 1, low=0.4, high=1.5)
    second = torch.where(
        draws.chance(f"{name} tone", 0.5, 1), (first * shade + 0.1).clamp(0, 1), second
    )
    kind = draws.weighted(f"{name} kind", list(_KINDS.values()))
    frequency = 2 * math.pi / draws.uniform(f"{name} period", low=0.025, high=0.12)
    phase = draws.uniform(f"{name} phase", high=2 * math.pi)
    threshold = draws.uniform(f"{name} threshold", low=-0.6, high=0.6)
    return Fabric(
        torch.stack([first, second], dim=1), kind, torch.stack([frequency, phase, threshold], -1)
    )


def sample_colour(draws: Draws, name: str) -> Tensor:
    """Draw clothes colours ``[B, 3]``: every hue, often pale or dark, seldom garish."""
    hue, saturation, value = draws.uniform(name, 3).unbind(-1)
    return hue_to_rgb(hue, saturation**1.5 * 0.85, 0.06 + 0.9 * value)


def hue_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Convert HSV in [0, 1] to RGB ``[.., 3]``."""
    third = torch.tensor([0.0, 2.0, 1.0], device=hue.device) / 3
    ramp = (((hue.unsqueeze(-1) + third) % 1.0) * 6 - 3).abs().sub(1).clamp(0, 1)
    return value.unsqueeze(-1) * (1 + saturation.unsqueeze(-1) * (ramp - 1))


def paint(fabric: Fabric, sample: Tensor, along: Tensor, across: Tensor) -> Tensor:
    """Return the colours ``[P, 3]`` of points of a garment.

    Args:
        fabric: One fabric a sample.
        sample: ``[P]`` the sample each point belongs to.
        along: ``[P]`` metres along the limb or trunk.
        across: ``[P]`` metres across it.
    """
    frequency, phase, threshold = fabric.wave.index_select(0, sample).unbind(-1)
    u, v = (along * frequency + phase).sin(), (across * frequency).sin()
    mottled = u * v + (along * frequency * 0.37 + across * frequency * 0.61 + phase).sin()
    patterns = {
        "across": _step(u - threshold),
        "along": _step(v - threshold),
        "checks": 0.5 * (_step(u - threshold) + _step(v - threshold)),
        "dots": _step(u * v - 0.45),
        "mottled": (0.5 + 0.4 * mottled).clamp(0, 1),
    }
    kind = fabric.kind.take(sample)
    share = torch.zeros_like(along)
    for place, name in enumerate(_KINDS):
        if name in patterns:
            share = torch.where(kind == place, patterns[name], share)
    first, second = fabric.colours.index_select(0, sample).unbind(1)
    return torch.lerp(first, second, share.unsqueeze(-1))


def _step(x: Tensor) -> Tensor:
    """Return a soft step, so that thin stripes do not flicker into single pixels."""
    return (0.5 + 4 * x).clamp(0, 1)
