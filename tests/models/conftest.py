import numpy as np
import pytest
import torch

from bilayer_graph.body import SMPL_PARENTS, BodyModel, axis_angle_to_matrix, project
from bilayer_graph.models import bilayer_small
from bilayer_graph.testing import sighted, sphere_mesh


@pytest.fixture(scope="session")
def body():
    return BodyModel.load()


@pytest.fixture(scope="session")
def sphere_body():
    """A body of 642 vertices without stored mesh levels."""
    vertices, faces = sphere_mesh(3)
    random = np.random.default_rng(0)
    joint = random.dirichlet(np.full(642, 0.05), size=24)
    arrays = {
        "v_template": vertices.numpy(),
        "shapedirs": random.normal(size=(642, 3, 10)) / 100,
        "J_regressor": joint,
        "weights": random.dirichlet(np.ones(24), size=642),
        "kintree_table": np.stack([np.array(SMPL_PARENTS), np.arange(24)]),
        "f": faces.numpy(),
    }
    return BodyModel(arrays)


@pytest.fixture(scope="session")
def small(body):
    """The small variant, without training; a session shares it, so leave it as it is."""
    torch.manual_seed(0)
    return sighted(bilayer_small(body)).eval()


@pytest.fixture(scope="session")
def people(body):
    """A batch of four people with everything that a model is trained on, from the body alone."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    betas = normal(4, 10)
    rotations = axis_angle_to_matrix(0.3 * normal(4, 24, 3))
    orient = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ rotations[:, 0]
    vertices = body(betas, rotations[:, 1:], orient).vertices
    joints, camera = body.joints(vertices), torch.tensor([[0.9, 0.1, 0.2]]).repeat(4, 1)
    true2d = project(joints, camera)
    confidence = torch.rand(4, 12, 1, generator=generator)
    return {
        "image": torch.rand(4, 3, 128, 128, generator=generator),
        "keypoints": torch.cat([true2d + 0.02 * normal(4, 12, 2), confidence], dim=2),
        "keypoints_true": true2d,
        "global_orient": orient,
        "body_pose": rotations[:, 1:],
        "betas": betas,
        "vertices": vertices,
        "joints": joints,
        "camera": camera,
    }
