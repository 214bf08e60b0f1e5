"""Which picture a perspective camera takes of a person: focal length, place, truncation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.viewpoints import CLEARANCE, sample_depths

# Extent of the keypoints over the picture; from close by, the picture cuts people off.
_SHARE, _CLOSE_SHARE = (0.27, 0.92), (0.92, 1.5)
_CLOSE = 0.12
# The widest view, as the focal length over the longer side of the picture: 75 degrees.
_SHORTEST_FOCAL = 0.65
_TRUNCATED, _CUT = 0.15, 0.4
_BELOW_OR_ABOVE, _FAR_EDGE = 0.6, 0.75


class Framing(NamedTuple):
    """B pictures of a person, the principal point in their middle.

    Attributes:
        place: Where the origin of the person is, ``[B, 3]``, metres in camera axes.
        focal: Focal length in pixels, ``[B]``.
        size: Height and width in pixels.
    """

    place: Tensor
    focal: Tensor
    size: tuple[int, int]

    @property
    def middle(self) -> Tensor:
        """The principal point x, y in pixels, ``[2]``."""
        return torch.tensor([self.size[1] / 2, self.size[0] / 2])

    def project(self, points: Tensor) -> Tensor:
        r"""Return pixels ``f (x, y) / z + c`` of points ``[B, N, 3]`` around the origin."""
        moved = points + self.place.unsqueeze(1)
        depth = moved[..., 2:].clamp_min(CLEARANCE)
        return moved[..., :2] / depth * self.focal.view(-1, 1, 1) + self.middle


def sample_framing(draws: Draws, keypoints: Tensor, size: tuple[int, int]) -> Framing:
    """Place people before cameras and choose the field of view.

    The distance is that of :func:`~bilayer_graph.synthetic.viewpoints.sample_views`. The focal
    length follows from how much of the picture the person takes: somebody close by in a small part
    of it means a wide angle.

    Args:
        draws: Random numbers of B samples.
        keypoints: Their keypoints in camera axes, ``[B, 17, 3]``.
        size: Height and width of the pictures in pixels.
    """
    centre, depth = sample_depths(draws, keypoints)
    ahead = torch.cat([torch.zeros(len(depth), 2), depth.unsqueeze(1)], dim=1) - centre
    tangents = (keypoints + ahead.unsqueeze(1)) / (keypoints + ahead.unsqueeze(1))[..., 2:]
    extent = tangents[..., :2].amax(1) - tangents[..., :2].amin(1)
    picture = torch.tensor([size[1], size[0]], dtype=extent.dtype)
    share = torch.where(
        draws.chance("close", _CLOSE),
        draws.uniform("close share", low=_CLOSE_SHARE[0], high=_CLOSE_SHARE[1]),
        draws.uniform("share", low=_SHARE[0], high=_SHARE[1]),
    )
    focal = (share / (extent / picture).amax(1)).clamp_min(_SHORTEST_FOCAL * max(size))
    aside = _sample_shift(draws, extent * focal.unsqueeze(1), picture) / focal.unsqueeze(1)
    aside = torch.cat([aside * depth.unsqueeze(1), torch.zeros(len(depth), 1)], dim=1)
    return Framing(ahead + aside, focal, size)


def _sample_shift(draws: Draws, box: Tensor, picture: Tensor) -> Tensor:
    """Draw how far the middle of the person is from that of the picture ``[B, 2]``, in pixels."""
    room = (picture - box).clamp_min(0) / 2
    shift = draws.uniform("place in the picture", 2, low=-1.0) * torch.maximum(room, 0.1 * box)
    axis = draws.chance("edge below or above", _BELOW_OR_ABOVE).long()
    sign = torch.where(draws.chance("far edge", _FAR_EDGE), 1.0, -1.0)
    beyond = room + box * draws.uniform("cut off", 1, low=0.05, high=_CUT)
    cut = draws.chance("truncated", _TRUNCATED, 1) & (torch.arange(2) == axis.unsqueeze(1))
    return torch.where(cut, sign.unsqueeze(1) * beyond, shift)
