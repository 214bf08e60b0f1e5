import pytest
import torch
from example_scripts import load_script
from PIL import Image

from bilayer_graph.models import body_template, load_model
from bilayer_graph.nn import BidirectionalFusionConv
from bilayer_graph.render.sheets import LINE
from bilayer_graph.testing import assert_close

script = load_script("inspect_fusion_graph")


@pytest.fixture
def run(monkeypatch, tmp_path, weights, capsys):
    def call(*arguments):
        out = ["--out", tmp_path / "deep" / "graph.png", "--weights", weights]
        words = ["inspect_fusion_graph.py", *out, *arguments]
        monkeypatch.setattr("sys.argv", [str(word) for word in words])
        return script.main(), *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def template(body):
    return body_template(body, 431)


@pytest.fixture
def fusions(weights, body):
    model = load_model(weights, body)
    return [module for module in model.modules() if isinstance(module, BidirectionalFusionConv)]


def test_all_joints_of_the_last_block(run, tmp_path):
    status, printed, _ = run()
    assert status == 0
    lines = printed.splitlines()
    blocks = [line.split() for line in lines if line.strip().startswith(("1 ", "2 ", "3 "))]
    assert [row[:2] for row in blocks] == [[n, d] for n in "123" for d in script.DIRECTIONS]
    assert all(row[2] == "1.00" for row in blocks)  # untrained: the learned graph is the prior
    assert "Picture of block 3, drives" in printed
    rows, columns = 6, 2
    wanted = (columns * 3 * script.PANEL, rows * (script.PANEL + LINE) + 3 * LINE)
    with Image.open(tmp_path / "deep" / "graph.png") as picture:
        assert picture.size == wanted


def test_one_joint_of_a_chosen_block(run, tmp_path):
    status, printed, _ = run("--block", 1, "--direction", "informs", "--joints", "left_wrist")
    assert status == 0
    assert "Picture of block 1, informs" in printed
    picture = Image.open(tmp_path / "deep" / "graph.png").convert("RGB")
    assert picture.width == 3 * script.PANEL
    # Untrained: the second panel repeats the first one (below the titles), the third is colourless.
    top, side = LINE, script.PANEL
    panels = [
        torch.frombuffer(
            bytearray(picture.crop((i * side, top, (i + 1) * side, top + side)).tobytes()),
            dtype=torch.uint8,
        ).view(-1, 3)
        for i in range(3)
    ]
    assert torch.equal(panels[0], panels[1])
    red = [(panel[:, 0].int() - panel[:, 2].int()).max() for panel in panels]
    assert red[0] > 80
    assert red[2] < 30


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--block", 4), "--block=4: no such block. Give 1 to 3"),
        (("--weights", "none.safetensors"), "weights=none.safetensors: no such file"),
    ],
)
def test_bad_arguments(run, arguments, says):
    status, printed, errors = run(*arguments)
    assert (status, printed) == (2, "")
    assert errors.startswith(f"error: {says}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("direction", script.DIRECTIONS)
def test_prior_and_learned_weights(fusions, template, direction):
    fusion = fusions[0]
    closeness = 1 / torch.cdist(template.joints.double(), template.vertices.double()).clamp_min(
        0.01
    )
    scale = 1.0 + torch.rand(fusion.edge_weight.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        fusion.edge_weight.mul_(scale)
    prior, learned = script.weights(fusion, direction)
    over = script.DIRECTIONS.index(direction)
    expected = closeness / closeness.sum(over, keepdim=True)
    assert_close(prior, expected)
    # Edges are sorted by vertex, then by joint.
    changed = closeness * scale[over].view(431, 12).t().double()
    assert_close(learned, changed / changed.sum(over, keepdim=True))
    assert torch.equal(fusion.edge_weight, scale)


def test_near_share(template):
    near = torch.cdist(template.joints, template.vertices) < 0.2
    one = torch.where(near, 3.0, 0.0)
    count = near.sum(1)
    assert_close(script.near_share(-one, template), torch.ones(12))
    shares = script.near_share(one + 1, template)
    assert_close(shares, 4 * count / (4 * count + 431 - count))


def test_symmetry(fusions, template):
    prior, _ = script.weights(fusions[0], "drives")
    assert script.correlation(prior, script.mirrored(prior, template)) > 0.97
    left = torch.zeros(12, 431)
    left[4, template.vertices[:, 0] > 0.05] = 1.0
    right = script.mirrored(left, template)
    assert torch.equal(right.sum(1).nonzero().flatten(), torch.tensor([1]))
    assert (template.vertices[right[1] > 0, 0] < 0).all()
