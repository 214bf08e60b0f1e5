import pytest
import torch
import trimesh
from meshes import body_faces, read_mesh, still_body

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import mesh_graph
from bilayer_graph.models import SMALL, body_template


@pytest.fixture
def ball():
    return trimesh.creation.icosphere(subdivisions=2)  # 162 vertices


@pytest.mark.parametrize("number", [107, 431, 1723, 6890, 13348])
def test_meshes_have_exactly_the_wanted_vertices(number):
    faces = body_faces(number)
    assert faces.unique().tolist() == list(range(number))
    assert faces.size(0) == 2 * number - 4


@pytest.mark.parametrize("ending", ["obj", "ply", "stl", "off", "glb"])
def test_a_users_mesh_keeps_its_graph(ball, ending, tmp_path, capsys):
    path = tmp_path / f"ball.{ending}"
    ball.export(path)
    mesh = read_mesh(path)
    read, expected = (mesh_graph(torch.tensor(m.faces), 162)[0] for m in (mesh, ball))
    degrees, wanted = (torch.bincount(edges[1]).sort()[0] for edges in (read, expected))
    assert torch.equal(degrees, wanted)
    said = capsys.readouterr().out
    assert said.startswith(f"ball.{ending}: 162 vertices")
    # Triangles of an STL share no vertex.
    assert ("798 merged into others" in said) == (ending == "stl")


def test_what_is_no_mesh_is_refused_in_a_line(ball, tmp_path):
    cloud, text = tmp_path / "cloud.ply", tmp_path / "text.obj"
    trimesh.PointCloud(ball.vertices).export(cloud)
    text.write_text("no mesh\n")
    for path in (cloud, text, tmp_path / "missing.obj", tmp_path):
        with pytest.raises(InputError, match=rf"--mesh={path}: .*Give a mesh"):
            read_mesh(path)


def test_a_body_of_a_users_mesh(ball):
    body = still_body(ball)
    template = body_template(body, 162)
    assert torch.equal(template.faces, torch.tensor(ball.faces))
    extent = template.vertices.amax(0) - template.vertices.amin(0)
    assert extent.max() == pytest.approx(1.7)
    # Joints are vertices, 12 different ones.
    apart = torch.cdist(template.joints, template.vertices).argmin(1)
    assert torch.allclose(template.joints, template.vertices[apart], atol=1e-6)
    assert len(apart.unique()) == len(template.joints) == 12
    assert SMALL.face  # needs 17 keypoints
    assert len(body.keypoint_regressor) == 17
