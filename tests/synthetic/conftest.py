import pytest

from bilayer_graph.body import BodyModel
from bilayer_graph.synthetic import PoseBank


@pytest.fixture(scope="session")
def body():
    return BodyModel.load()


@pytest.fixture(scope="session")
def poses(body):
    return PoseBank(body, postures=60)
