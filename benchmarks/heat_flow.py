"""Heat on a closed mesh whose conductivity varies: finite elements, and samples of them.

No script of its own.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from scipy.sparse import coo_matrix, csc_matrix, diags
from scipy.sparse.linalg import splu
from torch import Tensor

SPOT, LENGTH, DURATION = 0.2, 0.4, 0.3
"""Width of the spot, correlation length of the conductivity (radians), and time that passes."""

SOURCES = 4
"""Spots on each conductivity field."""


class Samples(NamedTuple):
    """Inputs ``[S, N, 2]``, heat at the end ``[S, N]`` and distance from the source ``[S, N]``."""

    x: Tensor
    y: Tensor
    distance: Tensor


class HeatFlow:
    r"""Heat flow :math:`\dot u = \nabla \cdot (\kappa \nabla u)` on a triangle mesh.

    Linear finite elements (the cotangent Laplacian), lumped masses, and an L-stable Runge-Kutta
    method of second order, with one factorisation for all time steps.

    Args:
        mesh: A closed mesh of ``N`` vertices.
    """

    def __init__(self, mesh: trimesh.Trimesh) -> None:
        self.vertices, self.faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
        corners = self.vertices[self.faces]
        opposite = np.roll(corners, 1, axis=1) - np.roll(corners, -1, axis=1)
        area = np.linalg.norm(np.cross(opposite[:, 0], opposite[:, 1]), axis=1) / 2
        self.elements = opposite @ opposite.transpose(0, 2, 1) / (4 * area[:, None, None])
        self.mass = np.bincount(self.faces.ravel(), np.repeat(area / 3, 3))

    def stiffness(self, conductivity: np.ndarray) -> csc_matrix:
        """Return the stiffness matrix ``[N, N]`` for a conductivity ``[N]``."""
        values = self.elements * conductivity[self.faces].mean(axis=1)[:, None, None]
        row, column = np.repeat(self.faces, 3, axis=1), np.tile(self.faces, 3)
        return coo_matrix((values.ravel(), (row.ravel(), column.ravel()))).tocsc()

    def __call__(
        self, heat: np.ndarray, conductivity: np.ndarray, duration: float, steps: int = 10
    ) -> np.ndarray:
        """Return what becomes of heat ``[N, S]`` after a while."""
        stiffness, step = self.stiffness(conductivity), duration / steps
        gamma = 1 - math.sqrt(0.5)
        solver = splu((diags(self.mass) + gamma * step * stiffness).tocsc())
        for _ in range(steps):
            first = solver.solve(-stiffness @ heat)
            second = solver.solve(-stiffness @ (heat + (1 - gamma) * step * first))
            heat = heat + step * ((1 - gamma) * first + gamma * second)
        return heat


def draw_samples(flow: HeatFlow, fields: int, seed: list[int]) -> Samples:
    """Draw conductivity fields and spots of heat, and let the heat flow."""
    draw = np.random.default_rng(seed)
    rows: list[tuple[np.ndarray, ...]] = []
    for _ in range(fields):
        logarithm = smooth_field(flow.vertices, draw)
        source = draw.normal(size=(3, SOURCES))
        cosine = flow.vertices @ (source / np.linalg.norm(source, axis=0))
        distance = np.arccos(np.clip(cosine, -1, 1))
        heat = np.exp(-((distance / SPOT) ** 2) / 2)
        heat *= flow.mass.sum() / (flow.mass @ heat)  # 1 on average
        x = np.stack([SPOT * heat.T, np.tile(logarithm, (SOURCES, 1))], axis=-1)
        rows.append((x, flow(heat, np.exp(logarithm), DURATION).T, distance.T))
    columns = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Samples(*(torch.from_numpy(column).float() for column in columns))


def smooth_field(points: np.ndarray, draw: np.random.Generator, waves: int = 64) -> np.ndarray:
    """Draw a random field of unit variance, of values that are alike up to ``LENGTH`` apart."""
    frequency = draw.normal(size=(3, waves)) / LENGTH
    phase = draw.uniform(0, 2 * np.pi, waves)
    field: np.ndarray = np.cos(points @ frequency + phase).sum(axis=1) * math.sqrt(2 / waves)
    return field
