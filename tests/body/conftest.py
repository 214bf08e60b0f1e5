import pytest
import torch

from bilayer_graph.body import BodyModel, axis_angle_to_matrix


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="session")
def posed(body: BodyModel):
    """Six people in random poses: betas, rotations [6, 24, 3, 3] and the posed bodies."""
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(6, 10, generator=generator)
    rotations = axis_angle_to_matrix(0.4 * torch.randn(6, 24, 3, generator=generator))
    return betas, rotations, body(betas, rotations[:, 1:], rotations[:, 0])
