"""FusionConv as PyG's users meet it: forms of edges, batches, other layers around it, bad input."""

import copy
import io

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import HeteroConv, SAGEConv, summary
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor

from bilayer_graph.errors import InputError
from bilayer_graph.nn import BidirectionalFusionConv, FusionConv, GraphConv
from bilayer_graph.testing import assert_close, sample_bipartite, sample_features, to_dense

FIRST, SECOND, C_IN, C_OUT = 5, 11, 6, 4
SIZE = (FIRST, SECOND)
EDGES, PRIOR = sample_bipartite(SIZE, 30, seed=1)
BY_TARGET = (EDGES[1] * FIRST + EDGES[0]).argsort()  # the order in which a layer keeps its edges
KINDS = pytest.mark.parametrize("kind", [FusionConv, BidirectionalFusionConv])
DRIVES = ("coarse", "drives", "fine")
COPIES = 3


def make_conv(in_channels=C_IN, edges=EDGES, prior=PRIOR, size=SIZE, kind=FusionConv, **options):
    torch.manual_seed(0)
    conv = kind(in_channels, C_OUT, edges, prior, size=size, **options).double()
    for parameter in conv.parameters():
        if not isinstance(parameter, torch.nn.UninitializedParameter):
            torch.nn.init.normal_(parameter)
    return conv


def features(*batch, channels=(C_IN, C_IN)):
    return tuple(
        sample_features(*batch, nodes, width, seed=seed, dtype=torch.float64)
        for seed, (nodes, width) in enumerate(zip(SIZE, channels, strict=True))
    )


def dense_product(conv, x):
    """RowNorm(A_fs * W_f) X W + b in float64, from the definition."""
    weight = PRIOR[BY_TARGET].double() * conv.edge_weight
    raw = to_dense(EDGES[:, BY_TARGET], weight, SIZE)
    adjacency = raw / raw.abs().sum(1, keepdim=True).clamp_min(1e-300)
    return adjacency @ x @ conv.lin.weight.t() + conv.bias


def hetero(x, edge_index=EDGES):
    data = HeteroData()
    data["coarse"].x, data["fine"].x = x
    data[DRIVES].edge_index = edge_index
    return data


def batch_of(datas):
    return next(iter(DataLoader(datas, batch_size=len(datas))))


@pytest.mark.parametrize("batch", [(), (2,)], ids=["one graph", "batch"])
@pytest.mark.parametrize("edge_index", [None, EDGES], ids=["no edges", "edges"])
def test_one_direction_gives_the_second_graph(batch, edge_index):
    conv, x = make_conv(), features(*batch)
    out = conv(x, edge_index)
    assert_close(out, dense_product(conv, x[0]))
    assert torch.equal(conv((x[0], None)), out)


def test_one_direction_is_a_half_of_both():
    both = make_conv(kind=BidirectionalFusionConv)
    one = make_conv()
    with torch.no_grad():
        one.edge_weight.copy_(both.edge_weight[0])
        one.lin.weight.copy_(both.lin.weight)
        one.bias.copy_(both.bias)
    assert torch.equal(one(features(2)), both(features(2))[1])


def test_one_graph_with_itself():
    edges, prior = sample_bipartite((7, 7), 20)
    conv = make_conv(edges=edges, prior=prior, size=(7, 7))
    x = sample_features(7, C_IN, dtype=torch.float64)
    assert torch.equal(conv(x, edges), conv((x, x)))


@KINDS
def test_a_pair_of_widths(kind):
    conv = make_conv((C_IN, 3), kind=kind)
    x = features(2, channels=(C_IN, 3))
    lazy = make_conv((-1, -1), kind=kind)
    lazy(x)
    lazy.load_state_dict(conv.state_dict())
    for got, want in zip(lazy(x), conv(x), strict=True):
        assert torch.equal(got, want)
    if kind is BidirectionalFusionConv:
        weight = conv.adjacency()[1]
        dense = to_dense(torch.stack([weight.col, weight.row]), weight.value, SIZE[::-1])
        assert_close(conv(x)[0], dense @ x[1] @ conv.lin_second.weight.t() + conv.bias)


@KINDS
def test_a_loader_s_batch_is_the_static_batch(kind):
    conv, x = make_conv(kind=kind), features(COPIES)
    batch = batch_of([hetero(pair) for pair in zip(*x, strict=True)])
    pair = batch["coarse"].x, batch["fine"].x
    both = kind is BidirectionalFusionConv
    for call in ((pair,),) if both else ((pair, batch[DRIVES].edge_index), (pair,)):
        got, want = conv(*call), conv(x)
        got, want = (got, want) if both else ((got,), (want,))
        for union, static in zip(got, want, strict=True):
            assert torch.equal(union, static.flatten(0, 1))


def test_gradients_of_a_batch_add_up_over_the_copies():
    conv, x = make_conv(), features(COPIES)
    batch = batch_of([hetero(pair) for pair in zip(*x, strict=True)])
    upstream = sample_features(COPIES, SECOND, C_OUT, seed=9, dtype=torch.float64)
    union = conv((batch["coarse"].x, batch["fine"].x), batch[DRIVES].edge_index)
    got = torch.autograd.grad(union, list(conv.parameters()), upstream.flatten(0, 1))
    loop = sum((conv(pair) * up).sum() for *pair, up in zip(*x, upstream, strict=True))
    want = torch.autograd.grad(loop, list(conv.parameters()))
    for actual, expected in zip(got, want, strict=True):
        assert_close(actual, expected)


def edges_as_edge_index():
    return EdgeIndex(EDGES, sparse_size=SIZE), PRIOR


def edges_as_torch_sparse():
    return torch.sparse_coo_tensor(EDGES.flip(0), PRIOR, SIZE[::-1]).coalesce(), None


def edges_as_torch_csr():
    return edges_as_torch_sparse()[0].to_sparse_csr(), None


def edges_as_sparse_tensor():
    if not WITH_TORCH_SPARSE:
        pytest.skip("torch-sparse is not installed")
    source, target = EDGES
    return SparseTensor(row=target, col=source, value=PRIOR, sparse_sizes=SIZE[::-1]), None


FORMS = [edges_as_edge_index, edges_as_torch_sparse, edges_as_torch_csr, edges_as_sparse_tensor]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_any_form_of_edges(form):
    edges, prior = form()
    conv, x = make_conv(edges=edges, prior=prior, size=None), features(2)
    assert conv.edges.size == SIZE
    plain = make_conv()
    plain.load_state_dict(conv.state_dict())
    assert_close(conv(x, edges), plain(x, EDGES))


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_inside_a_hetero_conv():
    fusion = make_conv()
    convs = {DRIVES: fusion, ("fine", "near", "fine"): SAGEConv(C_IN, C_OUT).double()}
    model = HeteroConv(convs, aggr="sum")
    x = dict(zip(("coarse", "fine"), features(), strict=True))
    near = torch.randint(SECOND, (2, 20))
    out = model(x, {DRIVES: EDGES, ("fine", "near", "fine"): near})["fine"]
    assert_close(
        out, dense_product(fusion, x["coarse"]) + convs["fine", "near", "fine"](x["fine"], near)
    )


@pytest.mark.filterwarnings("ignore:There exist node types")
def test_a_hetero_conv_hands_over_the_prior():
    """As it does with the weights of a HeteroData whose other layers need them."""
    fusion, inside = make_conv(), GraphConv(C_IN, C_OUT).double()
    near, weight = sample_bipartite((SECOND, SECOND), 20, dtype=torch.float64)
    model = HeteroConv({DRIVES: fusion, ("fine", "near", "fine"): inside})
    x = dict(zip(("coarse", "fine"), features(), strict=True))
    edges = {DRIVES: EDGES, ("fine", "near", "fine"): near}
    weights = {DRIVES: PRIOR, ("fine", "near", "fine"): weight}
    expected = dense_product(fusion, x["coarse"]) + inside(x["fine"], near, weight)
    assert_close(model(x, edges, weights)["fine"], expected)
    assert_close(model(x, edges, edge_weight_dict=weights)["fine"], expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_prior_of_a_call_in_another_order_and_dtype(dtype):
    conv, x = make_conv(edges=EDGES.int()).to(dtype).double(), features(COPIES)
    shift = torch.tensor([[FIRST], [SECOND]])
    order = torch.randperm(COPIES * PRIOR.numel(), generator=torch.Generator().manual_seed(0))
    edges = torch.cat([EDGES + copy * shift for copy in range(COPIES)], dim=1)[:, order]
    union = conv(tuple(part.flatten(0, 1) for part in x), edges, PRIOR.repeat(COPIES)[order])
    assert torch.equal(union, conv(x).flatten(0, 1))
    assert torch.equal(conv(x, edge_weight=PRIOR[BY_TARGET]), conv(x))


def test_a_prior_is_a_constant():
    learned = PRIOR.clone().requires_grad_()
    conv, x = make_conv(prior=2 * learned), features()
    for _ in range(2):  # a prior with a history would be differentiated twice
        conv(x).sum().backward()
    assert learned.grad is None
    copy.deepcopy(conv)


def test_a_prior_of_counts():
    count = torch.arange(1, 31)
    x = features()
    assert torch.equal(make_conv(prior=count)(x), make_conv(prior=count.float())(x))


def test_copies_pickles_and_state_dicts():
    conv, x = make_conv(kind=BidirectionalFusionConv), features(2)
    buffer = io.BytesIO()
    torch.save(conv, buffer)
    buffer.seek(0)
    fresh = make_conv(kind=BidirectionalFusionConv)
    fresh.reset_parameters()
    fresh.load_state_dict(conv.state_dict())
    for other in (copy.deepcopy(conv), torch.load(buffer, weights_only=False), fresh):
        for got, want in zip(other(x), conv(x), strict=True):
            assert torch.equal(got, want)
    assert set(conv.state_dict()) == {"edge_weight", "lin.weight", "bias", "edge_digest"}


def test_summary_names_it():
    assert "FusionConv" in summary(make_conv(), features())


BAD_EDGES = {
    "outside": (torch.tensor([[0, 5], [1, 2]]), None, r"^edge_index='?source nodes 0..5.*5 source"),
    "negative": (torch.tensor([[0, -1], [1, 2]]), None, r"^edge_index='?source nodes -1..0"),
    "swapped": (EDGES.flip(0), None, r"^edge_index=.*fit swapped"),
    "empty": (
        torch.zeros(2, 0, dtype=torch.long),
        None,
        r"^edge_index=\[2, 0\].*at least one edge",
    ),
    "shape": (torch.zeros(3, 4, dtype=torch.long), None, r"^edge_index=\[3, 4\].*\[2, E\]"),
    "array": (EDGES.numpy(), None, r"^edge_index='?ndarray.*not edges.*Give a tensor"),
    "dtype": (EDGES.float(), None, r"^edge_index=torch.float32: not indices.*int64"),
    "twice": (torch.zeros(2, 2, dtype=torch.long), None, r"^edge_index=.*twice.*coalesce"),
    "prior length": (EDGES, PRIOR[1:], r"^edge_weight=\[29\].*30 edges.*one weight an edge"),
    "prior NaN": (
        EDGES,
        PRIOR.index_fill(0, torch.tensor([3]), torch.nan),
        r"^edge_weight='?nan at 3",
    ),
    "prior negative": (EDGES, -PRIOR, r"^edge_weight='?-.* at 0.*at least 0"),
    "prior of one negative": (
        EDGES,
        PRIOR.index_fill(0, torch.tensor([7]), -2.5),
        r"^edge_weight=-2\.5 at 7: not a prior",
    ),
    "prior as a list": (EDGES, PRIOR.tolist(), r"^edge_weight=list: not a tensor.*\[E\]"),
    "prior as a column": (EDGES, PRIOR[:, None], r"^edge_weight=\[30, 1\].*30 edges.*\[E\]"),
}


@pytest.mark.parametrize("name", BAD_EDGES)
def test_bad_edges(name):
    edges, prior, message = BAD_EDGES[name]
    with pytest.raises(InputError, match=message):
        FusionConv(C_IN, C_OUT, edges, prior, size=SIZE)


def moved(edges):
    return torch.stack([edges[0], (edges[1] + 1) % SECOND])


BAD_CALLS = {
    "swapped features": (lambda x: x[::-1], EDGES, r"^x\[0\]=\[11, 6\].*5 nodes.*second graph"),
    "other graph": (lambda x: x, moved(EDGES), r"^edge_index=\[2, 30\].*leave them out.*GraphConv"),
    "swapped edges": (lambda x: x, EDGES.flip(0), r"^edge_index=.*source and destination swapped"),
    "fewer edges": (lambda x: x, EDGES[:, 1:], r"^edge_index=\[2, 29\].*30 edges"),
    "too many edges": (lambda x: x, EDGES.repeat(1, 2), r"^edge_index=\[2, 60\].*each of 1"),
    "half a graph": (lambda x: (torch.cat([x[0], x[0][:2]]), x[1]), None, r"^x\[0\]=\[7, 6\]"),
    "other number": (
        lambda x: (x[0].repeat(2, 1), x[1]),
        None,
        r"^x=\[\[10, 6\], \[11, 6\]\].*same number of graphs",
    ),
    "no nodes": (lambda x: (x[0][:0], x[1]), None, r"^x=\[\[0, 6\], \[11, 6\]\].*same number"),
    "one of a pair": (lambda x: x[:1], None, r"^x=\[\[5, 6\]\].*Give a pair"),
    "a third": (lambda x: (*x, x[0]), None, r"^x=\[\[5, 6\], \[11, 6\], \[5, 6\]\].*Give a pair"),
    "no sources": (lambda x: (None, x[1]), None, r"^x=\[None, \[11, 6\]\].*Give a pair"),
    "fewer channels": (lambda x: (x[0][:, 1:], x[1]), None, r"^x=\[5, 5\]: .*takes 6 channels"),
    "an array": (lambda x: x, EDGES.numpy(), r"^edge_index=ndarray: not edges"),
    "edges by row": (lambda x: x, EDGES.t(), r"^edge_index=\[30, 2\]: not the layer's 30 edges"),
    "nothing": (lambda x: None, None, r"^x=\[None\].*Give a pair"),
    "arrays": (lambda x: [part.numpy() for part in x], None, r"^x=\['ndarray', 'ndarray'\]"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_calls(name):
    change, edge_index, message = BAD_CALLS[name]
    with pytest.raises(InputError, match=message):
        make_conv()(change(features()), edge_index)


BAD_PRIORS = {
    "another": (PRIOR * 2, r"^edge_weight=.* at 0: the layer was built with .*leave it out"),
    "another at one edge": (
        PRIOR.index_fill(0, torch.tensor([7]), 9),
        r"^edge_weight=9 at 7: the layer was built with",
    ),
    "NaN": (PRIOR * torch.nan, r"^edge_weight=nan at 0"),
    "shorter": (PRIOR[1:], r"^edge_weight=\[29\]: there are 30 edges"),
    "of two graphs": (PRIOR.repeat(2), r"^edge_weight=\[60\]: there are 30 edges"),
}


@pytest.mark.parametrize("name", BAD_PRIORS)
def test_bad_priors_of_a_call(name):
    prior, message = BAD_PRIORS[name]
    with pytest.raises(InputError, match=message):
        make_conv()(features(), EDGES, prior)


def test_the_prior_of_a_call_in_the_order_of_its_edges():
    conv, x = make_conv(), features()
    assert torch.equal(conv(x, EDGES.flip(1), PRIOR.flip(0)), conv(x))
    with pytest.raises(InputError, match=r"^edge_weight="):
        conv(x, EDGES.flip(1), PRIOR)


def test_a_prior_for_a_layer_without_one():
    with pytest.raises(InputError, match=r"^edge_weight=.*the layer was built with 1 there"):
        make_conv(prior=None)(features(), EDGES, PRIOR)


def test_a_size_of_one_number():
    with pytest.raises(InputError, match=r"^size=\(5,\): not two numbers.*num_first, num_second"):
        make_conv(size=(FIRST,))


def test_nodes_that_no_edge_touches_need_the_size():
    edges = torch.tensor([[0, 3], [0, 9]])
    message = r"^x\[0\]=\[5, 6\]: the first graph has 4 nodes.*size=\(num_first, num_second\)"
    with pytest.raises(InputError, match=message):
        make_conv(edges=edges, prior=None, size=None)(features())
    assert make_conv(edges=edges, prior=None)(features()).shape == (SECOND, C_OUT)
    with pytest.raises(InputError, match=r"Give .*\[K \* 5, C\]\.$"):
        make_conv(edges=edges, prior=None)((features()[0][1:], None))


def test_a_union_without_edges_needs_the_size():
    edges = torch.tensor([[0, 1, 2], [0, 1, 2]])  # 6 nodes: two graphs of 3, or one
    conv, x = make_conv(edges=edges, prior=None, size=None), sample_features(6, C_IN).double()
    with pytest.raises(InputError, match=r"^edge_index=None: 2 graphs, or one .*size=\(num_first"):
        conv((x, None))
    assert conv((x, None), torch.cat([edges, edges + 3], dim=1)).shape == (6, C_OUT)
    assert make_conv(edges=edges, prior=None, size=(3, 3))((x, None)).shape == (6, C_OUT)
    assert make_conv(edges=edges, prior=None, size=(6, 9))((x, None)).shape == (9, C_OUT)


def test_a_batch_with_another_graph_in_it():
    datas = [hetero(features()), hetero(features(), moved(EDGES))]
    batch = batch_of(datas)
    with pytest.raises(InputError, match=r"^edge_index=\[2, 60\].*once for each of 2 graphs"):
        make_conv()((batch["coarse"].x, batch["fine"].x), batch[DRIVES].edge_index)


def test_edges_in_another_order_are_the_same_edges():
    conv, x = make_conv(), features()
    assert torch.equal(conv(x, EDGES.flip(1)), conv(x))


def test_bidirectional_needs_both():
    with pytest.raises(InputError, match=r"^x\[1\]=None.*both graphs"):
        make_conv(kind=BidirectionalFusionConv)((features()[0], None))
