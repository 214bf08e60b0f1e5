"""A small untrained predictor, a known person before a known camera, and pictures of nothing."""

import math
from functools import cache

import numpy as np
import torch
from PIL import Image

from bilayer_graph import Predictor
from bilayer_graph.body import UPRIGHT, BodyModel, axis_angle_to_matrix
from bilayer_graph.detection import DetectedPerson
from bilayer_graph.models import ModelConfig
from bilayer_graph.models.variants import assemble_model

TINY = ModelConfig(
    backbone="none",
    image_size=32,
    num_vertices=431,
    channels=16,
    num_blocks=1,
    norm="layer",
    joint_input="pose",
    face=True,
    readout="posed",
    hidden=16,
)
SIZE = (320, 240)
"""Width and height of the pictures."""
FOCAL = 160 / math.tan(math.radians(25))
"""Focal length of their camera in pixels: 50 degrees along the longer side."""


@cache
def body_model():
    return BodyModel.load()


@cache
def tiny_model(config=TINY):
    torch.manual_seed(0)
    return assemble_model(config, body_model()).eval()


def predictor(detector=None, **changes):
    return Predictor(tiny_model(), body_model(), detector, **changes)


@cache
def known_body():
    """Vertices ``[V, 3]`` of a walking person who faces the camera, and where they are."""
    pose = torch.zeros(23, 3)
    pose[0, 0], pose[1, 0], pose[3, 0] = -0.5, 0.3, 0.5  # left hip, right hip, left knee
    pose[15, 2], pose[16, 2] = -1.1, 1.1  # the arms down
    turns = axis_angle_to_matrix(pose)[None]
    shape = torch.tensor([[0.8, -0.5] + [0.0] * 8])
    vertices = body_model()(shape, turns, UPRIGHT[None]).vertices[0]
    return vertices, torch.tensor([0.35, 0.1, 3.2])


def seen(points, place):
    """Where a pinhole camera sees points, in pixels."""
    moved = points + place
    return FOCAL * moved[:, :2] / moved[:, 2:] + torch.tensor(SIZE) / 2


@cache
def keypoints():
    """COCO's 17 of the known person, ``[17, 3]``."""
    vertices, place = known_body()
    points = seen(body_model().keypoints(vertices), place)
    return torch.cat([points, torch.ones(17, 1)], dim=1)


def picture(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def someone(score=0.9, shift=0.0, **changes):
    moved = keypoints() + torch.tensor([shift, 0.0, 0.0])
    fields = {"keypoints": moved, "box": torch.tensor([0.0, 0, 9, 9]), "score": score}
    return DetectedPerson(**{**fields, **changes})
