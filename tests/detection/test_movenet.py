import pytest
import torch

from bilayer_graph.detection.movenet import HEADS_MULTI, HEADS_SINGLE, InvertedResidual, MoveNet


def closed_form_parameters(stem, stages, heads):
    """Weights and biases counted from the channels of each stage."""
    total, channels = 27 * stem + stem, stem
    for expansion, out, repeats in stages:
        for _ in range(repeats):
            inner = expansion * channels
            total += (channels + 1) * inner if expansion > 1 else 0
            total += 10 * inner + (inner + 1) * out
            channels = out
    total += (channels + 1) * 1280
    laterals = ((stages[1][1], 24), (stages[2][1], 32), (stages[3][1], 64), (1280, 64))
    total += sum((i + 1) * o for i, o in laterals)
    total += sum(9 * i + (i + 1) * o for i, o in ((64, 32), (32, 24), (24, 24)))
    return total + sum(9 * 24 + 25 * 96 + 97 * size for size in heads.values())


MULTI = ((1, 24, 1), (6, 40, 2), (6, 48, 3), (6, 96, 4), (6, 144, 3), (6, 240, 3), (6, 480, 1))
SINGLE = ((1, 32, 1), (6, 40, 2), (6, 56, 3), (6, 112, 4), (6, 168, 3), (6, 280, 3), (6, 560, 1))


@pytest.mark.parametrize(
    ("width", "heads", "stem", "stages"),
    [(1.5, HEADS_MULTI, 48, MULTI), (1.75, HEADS_SINGLE, 56, SINGLE)],
)
def test_parameters(width, heads, stem, stages):
    network = MoveNet(width, heads)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == closed_form_parameters(stem, stages, heads)


@torch.inference_mode()
def test_heads_at_a_quarter_of_any_multiple_of_32():
    network = MoveNet(0.25, HEADS_MULTI)
    maps = network(torch.rand(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, c, 16, 24) for c in HEADS_MULTI.values()]


@torch.inference_mode()
def test_stride_two_pads_right_and_below():
    block = InvertedResidual(1, 1, 1, 2)
    for parameter in block.parameters():
        parameter.zero_()
    block.depthwise.weight[0, 0, 2, 2] = 1
    block.project.weight.fill_(1)
    x = torch.rand(1, 1, 4, 4)
    expected = torch.zeros(1, 1, 2, 2)
    expected[0, 0, 0, 0] = x[0, 0, 2, 2]  # the others look at the padding
    assert torch.equal(block(x), expected)


@torch.inference_mode()
def test_residual_only_where_shapes_agree():
    same, wider, smaller = (InvertedResidual(2, c, 6, s) for c, s in ((2, 1), (3, 1), (2, 2)))
    assert (same.residual, wider.residual, smaller.residual) == (True, False, False)
    x = torch.rand(1, 2, 4, 4)
    for parameter in same.parameters():
        parameter.zero_()
    assert torch.equal(same(x), x)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_export():
    network = MoveNet(0.25, HEADS_SINGLE).eval()
    image = torch.rand(1, 3, 64, 64)
    program = torch.export.export(network, (image,))
    traced = torch.jit.trace(network, image)
    other = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for exported, script, plain in zip(
            program.module()(other), traced(other), network(other), strict=True
        ):
            torch.testing.assert_close(exported, plain)
            torch.testing.assert_close(script, plain)
