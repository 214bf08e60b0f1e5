"""What a FusionConv has learned belongs to its edges: state dicts, pruning, printing."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

from bilayer_graph.errors import InputError
from bilayer_graph.graphs import fusion_graph
from bilayer_graph.nn import BidirectionalFusionConv, BilayerBlock, FusionConv
from bilayer_graph.testing import assert_close, sample_bipartite, sample_features

SIZE = (5, 11)
EDGES, PRIOR = sample_bipartite(SIZE, 30, seed=1)
COMPLETE = sample_bipartite(SIZE, seed=2)
KINDS = pytest.mark.parametrize("kind", [FusionConv, BidirectionalFusionConv])
X = sample_features(2, 5, 8), sample_features(2, 11, 8, seed=1)


def make(kind=FusionConv, edges=EDGES, prior=PRIOR, size=SIZE, **options):
    torch.manual_seed(0)
    conv = kind(8, 8, edges, prior, size=size, **options)
    torch.nn.init.normal_(conv.edge_weight)
    return conv


def results(conv):
    out = conv(X)
    return (out,) if isinstance(out, torch.Tensor) else out


def fresh(kind, edges, prior, size=SIZE):
    conv = kind(8, 8, edges, prior, size=size)
    torch.nn.init.uniform_(conv.edge_weight)
    return conv


@KINDS
@pytest.mark.parametrize("graph", [(EDGES, PRIOR), COMPLETE], ids=["sparse", "complete"])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_edges_in_any_order_are_matched(kind, graph, seed):
    conv = make(kind, *graph)
    order = torch.randperm(len(graph[1]), generator=torch.Generator().manual_seed(seed))
    other = fresh(kind, graph[0][:, order].int(), graph[1][order])
    assert other.load_state_dict(conv.state_dict()) == ([], [])
    for got, want in zip(results(other), results(conv), strict=True):
        assert torch.equal(got, want)


def moved():
    return torch.stack([EDGES[0], (EDGES[1] + 1) % SIZE[1]])


OTHERS = {
    "another edge": (moved(), PRIOR, SIZE),
    "one edge less": (EDGES[:, 1:], PRIOR[1:], SIZE),
    "swapped": (EDGES.flip(0), PRIOR, SIZE[::-1]),
    "one more node": (EDGES, PRIOR, (5, 12)),
}


@KINDS
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("strict", [True, False])
def test_other_edges_are_refused(kind, name, strict):
    other = fresh(kind, *OTHERS[name])
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(InputError, match=r"^state_dict=edge_weight: learned on other edges.*Build"):
        other.load_state_dict(make(kind).state_dict(), strict=strict)
    assert all(torch.equal(before[name], value) for name, value in other.state_dict().items())


def test_complete_graphs_of_as_many_edges_are_told_apart():
    graphs = [(size, sample_bipartite(size)) for size in ((4, 12), (6, 8), (12, 4))]
    convs = [FusionConv(8, 8, *graph, size=size) for size, graph in graphs]
    for conv in convs[1:]:
        with pytest.raises(InputError, match="other edges"):
            conv.load_state_dict(convs[0].state_dict())


def test_weights_without_a_digest_are_those_of_the_edges_in_order():
    conv, other = make(), fresh(FusionConv, EDGES, PRIOR)
    state = conv.state_dict()
    del state["edge_digest"]
    assert other.load_state_dict(state) == ([], [])
    assert torch.equal(other(X), conv(X))
    assert "edge_digest" not in state


def test_a_file_of_a_block_in_half_precision(tmp_path):
    block, path = BilayerBlock(16, 16, make(BidirectionalFusionConv)), tmp_path / "a.safetensors"
    state = block.state_dict()
    assert "fusions.0.conv.edge_digest" in state
    save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
    other = BilayerBlock(16, 16, fresh(BidirectionalFusionConv, EDGES.flip(1), PRIOR.flip(0)))
    other.load_state_dict(load_file(path))
    got, want = (each.fusions[0].conv.edge_weight for each in (other, block))
    assert_close(got, want, torch.float16)


def test_casts_keep_the_digest():
    conv = make().half().double().bfloat16()
    assert torch.equal(conv.edge_digest, make().edge_digest)


# ---- Pruning ------------------------------------------------------------------------------------


def entries(matrix):
    return matrix.to_dense().detach()


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("normalize", ["row", "softmax", None])
@pytest.mark.parametrize("combine", ["mul", "add"])
def test_pruned_rows_are_the_strong_entries_normalised_again(threshold, normalize, combine):
    conv = make(normalize=normalize, combine=combine).double()
    full, small = entries(conv.adjacency()), conv.prune(threshold)
    kept = full * (full.abs() > threshold)
    assert small.edges.edge_index.size(1) == (kept != 0).sum()
    if normalize is not None:
        kept = kept / kept.abs().sum(1, keepdim=True).clamp_min(1e-300)
    assert_close(entries(small.adjacency()), kept)
    assert torch.equal(small.lin.weight, conv.lin.weight)
    assert torch.equal(entries(conv.adjacency()), full)


def test_a_pruned_layer_is_a_layer():
    conv = make().double().eval()
    conv.edge_weight.requires_grad_(False)
    small = conv.prune(0.2)
    assert isinstance(small, FusionConv)
    assert not small.training
    assert not small.edge_weight.requires_grad
    assert small.edge_weight.dtype == torch.float64
    assert small.size == conv.size
    again = FusionConv(8, 8, small.edges.edge_index, small.edges.prior().value, size=SIZE).double()
    again.load_state_dict(small.state_dict())
    x = tuple(part.double() for part in X)
    assert torch.equal(again(x), small(x))


def test_both_directions_keep_an_edge_that_is_strong_in_one():
    conv = make(BidirectionalFusionConv)
    onward, back = (entries(matrix).abs() for matrix in conv.adjacency())
    small = conv.prune(0.3)
    strong = (onward > 0.3) | (back.t() > 0.3)
    assert small.edges.edge_index.flip(0).t().tolist() == strong.nonzero().tolist()
    assert small.edge_weight.shape == (2, int(strong.sum()))


@pytest.mark.parametrize("threshold", [1.5, float("nan")])
def test_nothing_left(threshold):
    with pytest.raises(InputError, match=r"^threshold=.*: the strongest edge has 1\b.*smaller"):
        make().prune(threshold)


def test_an_adjacency_prints_in_a_line():
    assert str(make().adjacency()) == "SparseMatrix((11, 5), entries=30, float32)"


def test_sizes_come_from_the_graph():
    conv = FusionConv(8, 8, *fusion_graph(torch.rand(4, 2), torch.rand(9, 2), k=1))
    assert conv.size == (4, 9)
    assert conv((torch.rand(12, 8), torch.rand(27, 8))).shape == (27, 8)
