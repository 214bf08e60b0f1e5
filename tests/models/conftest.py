import numpy as np
import pytest
import torch
from model_samples import BLIND, MODELS, PICTURES, stirred

from bilayer_graph.body import (
    COCO_TO_JOINTS,
    SMPL_PARENTS,
    BodyModel,
    ReducedBody,
    axis_angle_to_matrix,
    project,
)
from bilayer_graph.models import assemble_model
from bilayer_graph.testing import sphere_mesh


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


def untrained(config, body):
    torch.manual_seed(0)
    return stirred(assemble_model(config, body)).eval()


@pytest.fixture(scope="session")
def papers(body):
    """The paper's structure, without training; a session shares it, so leave it as it is."""
    return untrained(PICTURES, body)


@pytest.fixture(scope="session")
def small(body):
    """The small variant without picture and training; a session shares it, so leave it as it is."""
    return untrained(BLIND, body)


@pytest.fixture(params=MODELS)
def model(request, papers, small):
    """Both of them, one after the other."""
    return {"paper": papers, "small": small}[request.param]


@pytest.fixture(params=MODELS)
def new_model(request, body):
    """A model of each kind that a test may change."""
    return untrained(MODELS[request.param], body)


@pytest.fixture(scope="session")
def people(body):
    """A batch of four people with everything that a model is trained on, from the body alone."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    betas = normal(4, 10)
    rotations = axis_angle_to_matrix(0.3 * normal(4, 24, 3))
    orient = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ rotations[:, 0]
    rotations = torch.cat([orient.unsqueeze(1), rotations[:, 1:]], dim=1)
    vertices = body(betas, rotations[:, 1:], orient).vertices
    joints, camera = body.joints(vertices), torch.tensor([[0.9, 0.1, 0.2]]).repeat(4, 1)
    points = project(body.keypoints(vertices), camera)
    confidence = torch.rand(4, 17, 1, generator=generator)
    coco = torch.cat([points + 0.02 * normal(4, 17, 2), confidence], dim=2)
    return {
        "image": torch.rand(4, 3, 128, 128, generator=generator),
        "keypoints": coco[:, list(COCO_TO_JOINTS)],
        "coco": coco,
        "keypoints_true": project(joints, camera),
        "global_orient": orient,
        "body_pose": rotations[:, 1:],
        "rotations": ReducedBody(body, torch.arange(1)).absolute(rotations),
        "betas": betas,
        "vertices": vertices,
        "joints": joints,
        "camera": camera,
    }
