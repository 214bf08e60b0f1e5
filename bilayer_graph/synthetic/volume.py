"""How far clothes, hair and shoes stand off the skin: silhouettes of dressed people."""

from __future__ import annotations

import torch
from torch import Tensor

from bilayer_graph.synthetic.clothes import Outfit
from bilayer_graph.synthetic.draws import Draws

# Metres off the skin, at most: tight sports clothes to wide trousers.
_SHIRT, _TROUSERS, _HAIR, _SHOE = 0.035, 0.045, 0.03, 0.008
_CLOTH = 0.004


def sample_volume(draws: Draws, outfit: Outfit, template: Tensor) -> Tensor:
    """Draw distances of the dressed surface from the skin.

    Cloth stands off further towards its end (hem, sleeve, trouser leg), in folds; a third of the
    garments is tight.

    Args:
        draws: Random numbers of B samples.
        outfit: What they wear.
        template: ``[V, 3]`` vertices of the T-pose.

    Returns:
        ``[B, V]`` metres along the normals.
    """
    people, count = len(draws), len(template)
    sample = torch.arange(people, device=draws.device).repeat_interleave(count)
    points = template.repeat(people, 1)
    on = outfit.cover(points, sample)
    shirt, trousers = _width(draws, "shirt width"), _width(draws, "trouser width")
    sleeve = (on.arm / outfit.sleeve.take(sample).clamp_min(0.1)).clamp(0, 1)
    hem = ((on.leg + 0.75) / (outfit.shirt_end.take(sample) + 0.75)).clamp(0, 1)
    leg = (on.leg / outfit.trouser_end.take(sample)).clamp(0, 1)
    folds = _folds(draws, points, sample)
    along = torch.where(on.arm > 0, sleeve, hem)
    on_shirt = _CLOTH + _SHIRT * shirt.take(sample) * (0.25 + 0.75 * along) * folds
    on_legs = _CLOTH + _TROUSERS * trousers.take(sample) * (0.2 + 0.8 * leg) * folds
    hair = _HAIR * draws.uniform("hair volume", low=0.1).take(sample)
    hair = torch.minimum(hair, (on.hair + 0.005).clamp_min(0))
    volume = torch.where(on.hair > 0, hair, 0.0)
    volume = torch.where(on.trousers, on_legs, volume)
    volume = torch.where(on.shirt, torch.maximum(on_shirt, on_legs * on.trousers), volume)
    return torch.where(on.shoe, _SHOE, volume).view(people, count)


def _width(draws: Draws, name: str) -> Tensor:
    return draws.uniform(name, low=-0.5).clamp_min(0)


def _folds(draws: Draws, points: Tensor, sample: Tensor) -> Tensor:
    """Return factors ``[P]`` about 1: two crossed waves on the T-pose."""
    wave = (draws.normal("cloth folds", 2, 3) * 25).index_select(0, sample)
    u, v = (points.unsqueeze(1) * wave).sum(-1).unbind(-1)
    depth = draws.uniform("fold depth", high=0.45).take(sample)
    return 1 + depth * (u.sin() + (v + 2 * u.cos()).sin())
