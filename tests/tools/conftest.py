import sys
from pathlib import Path

import pytest

from bilayer_graph.body import BodyModel

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))


@pytest.fixture(scope="session")
def body():
    return BodyModel.load()


@pytest.fixture(scope="session")
def rest_joints(body):
    return (body.J_regressor @ body.v_template).double()
