import pytest

from bilayer_graph.cli.main import main


@pytest.fixture(scope="session")
def shipped_file(tmp_path_factory):
    """What the command makes of the shipped model."""
    for library in ("onnx", "onnxscript"):
        pytest.importorskip(library)
    path = tmp_path_factory.mktemp("export") / "new/model.onnx"
    assert main(["export", "--onnx", str(path)]) == 0
    return path
