"""A person who moves, and where the body model says that each vertex is."""

from functools import cache

import numpy as np
import torch
from predictors import body_model

from bilayer_graph.body import UPRIGHT, axis_angle_to_matrix, make_rigs

FRAMES = 12
RATE = 25.0
TIMES = np.arange(FRAMES) / RATE


@cache
def shape():
    return torch.tensor([[1.2, -0.8, 0.5, 0.4, -0.3, 0.2, 0.0, 0.0, 0.1, -0.1]])


@cache
def rig():
    return make_rigs(body_model(), shape())[0]


@cache
def rotations():
    """``[T, 24, 3, 3]``: a smooth motion that turns joints far, the whole body more than once."""
    draw = torch.Generator().manual_seed(3)
    start = 0.3 * torch.randn(24, 3, generator=draw)
    speed = 0.04 * torch.randn(24, 3, generator=draw)
    speed[0] = torch.tensor([0.3, 0.7, 0.4])
    turns = axis_angle_to_matrix(start + torch.arange(FRAMES)[:, None, None] * speed)
    turns[:, 0] = UPRIGHT @ turns[:, 0]
    return turns.numpy()


@cache
def translation():
    step = torch.tensor([0.05, -0.01, 0.1])
    return (torch.tensor([0.3, 0.2, 4.0]) + torch.arange(FRAMES)[:, None] * step).numpy()


def posed(turns, moves):
    """Vertices ``[T, V, 3]`` in camera axes, from the body model itself."""
    turns, moves = torch.as_tensor(turns).float(), torch.as_tensor(moves).float()
    body = body_model()(shape(), turns[:, 1:], turns[:, 0])
    return (body.vertices + moves[:, None]).numpy()


def y_up(points):
    """From camera axes to those of glTF and BVH."""
    return points * np.array([1.0, -1.0, -1.0])
