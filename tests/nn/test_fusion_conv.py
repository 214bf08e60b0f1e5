import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bilayer_graph.errors import InputError
from bilayer_graph.nn import BidirectionalFusionConv
from bilayer_graph.ops import SparseMatrix
from bilayer_graph.testing import (
    assert_close,
    largest_output,
    matrix_to_dense,
    sample_bipartite,
    sample_features,
    to_dense,
)

FIRST, SECOND, C_IN, C_OUT = 5, 11, 6, 4
SIZE = (FIRST, SECOND)
DTYPE = torch.float64
ONE = torch.ones(1, dtype=DTYPE)
# complete, sparse, and with nodes that have no edge
NUM_EDGES = pytest.mark.parametrize("num_edges", [None, 30, 3], ids=["complete", "sparse", "few"])
VARIANTS = pytest.mark.parametrize(
    ("combine", "normalize"),
    [(combine, normalize) for combine in ("mul", "add") for normalize in ("row", "softmax", None)],
)


def make_conv(num_edges=None, learned=True, dtype=DTYPE, **options):
    """A layer whose weights are no longer those of the start."""
    torch.manual_seed(0)
    edges = sample_bipartite(SIZE, num_edges, seed=1)
    conv = BidirectionalFusionConv(C_IN, C_OUT, *edges, size=SIZE, **options)
    if learned:
        torch.nn.init.normal_(conv.edge_weight)
        if conv.bias is not None:
            torch.nn.init.normal_(conv.bias)
    return conv.to(dtype), edges


def features(*batch, dtype=DTYPE):
    return (
        sample_features(*batch, FIRST, C_IN, seed=2, dtype=dtype),
        sample_features(*batch, SECOND, C_IN, seed=3, dtype=dtype),
    )


def by_target(edge_index):
    """The order in which a layer keeps its edges."""
    return (edge_index[1] * FIRST + edge_index[0]).argsort()


def block_adjacency(conv, edges):
    """A_f over the nodes of both graphs together, from its definition, in float64."""
    (first, second), prior = edges
    order = by_target(edges[0])
    total = FIRST + SECOND
    mask, fixed, learned = (torch.zeros(total, total, dtype=DTYPE) for _ in range(3))
    # Rows are targets: joints come first, then vertices.
    for which, (row, column) in enumerate([(second + FIRST, first), (first, second + FIRST)]):
        mask[row, column] = 1
        fixed[row, column] = prior.double()
        learned[row[order], column[order]] = conv.edge_weight[which].double()
    raw = fixed * learned if conv.combine == "mul" else fixed + learned
    if conv.normalize == "row":
        return raw / raw.abs().sum(1, keepdim=True).clamp_min(1e-300)
    if conv.normalize == "softmax":
        powers = mask * raw.exp()
        return powers / powers.sum(1, keepdim=True).clamp_min(1e-300)
    return raw


def dense_forward(conv, edges, x):
    both = torch.cat(x, dim=-2).double()
    out = block_adjacency(conv, edges) @ both @ conv.lin.weight.double().t()
    if conv.bias is not None:
        out = out + conv.bias.double()
    return out.split([FIRST, SECOND], dim=-2)


@NUM_EDGES
@VARIANTS
@pytest.mark.parametrize("batch", [(), (3,)], ids=["one graph", "batch"])
def test_equals_the_dense_block_matrix(num_edges, combine, normalize, batch):
    conv, edges = make_conv(num_edges, combine=combine, normalize=normalize)
    x = features(*batch)
    for actual, wanted in zip(conv(x), dense_forward(conv, edges, x), strict=True):
        assert_close(actual, wanted)


@NUM_EDGES
@VARIANTS
def test_gradients(num_edges, combine, normalize):
    conv, edges = make_conv(num_edges, combine=combine, normalize=normalize)
    x = tuple(tensor.requires_grad_() for tensor in features(2))
    leaves = (*x, conv.edge_weight, conv.lin.weight, conv.bias)
    upstream = [sample_features(2, nodes, C_OUT, seed=4, dtype=DTYPE) for nodes in SIZE]
    got = torch.autograd.grad(conv(x), leaves, upstream)
    wanted = torch.autograd.grad(dense_forward(conv, edges, x), leaves, upstream)
    for actual, expected in zip(got, wanted, strict=True):
        # Beside the 1 that every gradient is about: that of a lonely edge is 0 but for rounding.
        assert_close(torch.cat([actual.flatten(), ONE]), torch.cat([expected.flatten(), ONE]))


@NUM_EDGES
def test_on_the_device(num_edges, device):
    conv, edges = make_conv(num_edges, dtype=torch.float32)
    x = features(2, dtype=torch.float32)
    wanted = dense_forward(conv, edges, x)
    conv = conv.to(device)
    out = conv(tuple(tensor.to(device) for tensor in x))
    for actual, expected in zip(out, wanted, strict=True):
        assert actual.device.type == device.type
        assert_close(actual, expected)


def test_without_bias():
    conv, edges = make_conv(bias=False)
    x = features(2)
    for actual, wanted in zip(conv(x), dense_forward(conv, edges, x), strict=True):
        assert_close(actual, wanted)


@NUM_EDGES
@pytest.mark.parametrize("combine", ["mul", "add"])
def test_a_fresh_adjacency_is_the_normalised_prior(num_edges, combine):
    conv, (edge_index, prior) = make_conv(num_edges, learned=False, combine=combine)
    dense = to_dense(edge_index, prior, SIZE)
    for matrix, fixed in zip(conv.adjacency(), (dense, dense.t()), strict=True):
        norm = fixed.sum(1, keepdim=True)
        assert_close(matrix_to_dense(matrix), fixed / norm.clamp_min(1e-300))
        # 1 for every node that has an edge at all
        assert_close(matrix_to_dense(matrix).sum(1), (norm[:, 0] > 0).double(), torch.float32)


def test_a_learned_adjacency_keeps_unit_rows():
    for matrix in make_conv()[0].adjacency():
        rows = matrix_to_dense(matrix).abs().sum(1)
        assert_close(rows, torch.ones_like(rows), torch.float32)


def test_the_two_directions_learn_apart():
    conv, _ = make_conv(learned=False)
    before = [matrix.value.detach().clone() for matrix in conv.adjacency()]
    with torch.no_grad():
        conv.edge_weight[1].uniform_()
    after = [matrix.value for matrix in conv.adjacency()]
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_one_weight_an_edge_and_direction():
    conv = BidirectionalFusionConv(2, 2, *sample_bipartite((12, 1723)))
    assert conv.edge_weight.numel() == 2 * 12 * 1723 == 41_352
    assert conv.size == (12, 1723)
    assert (conv.edge_weight == 1).all()


@NUM_EDGES
def test_message_agrees_with_message_and_aggregate(num_edges):
    conv, _ = make_conv(num_edges)
    for which, (matrix, x) in enumerate(zip(conv.adjacency(), features(3), strict=True)):
        edge_index = matrix.edge_index
        by_message = conv.propagate(
            edge_index,
            x=(x, None),
            edge_weight=matrix.value,
            size=SIZE if which == 0 else SIZE[::-1],
        )
        assert_close(by_message, conv.message_and_aggregate(matrix, x))


def test_the_complete_graph_builds_no_messages():
    size, batch, channels = (12, 431), 4, 32
    conv = BidirectionalFusionConv(channels, channels, *sample_bipartite(size), size=size)
    x = tuple(sample_features(batch, nodes, channels) for nodes in size)
    with largest_output() as largest:
        sum(out.sum() for out in conv(x)).backward()
    messages = 12 * 431 * batch * channels
    assert largest.numel <= batch * 431 * channels < messages / 10


class OpsOn(TorchDispatchMode):
    """Names of the operations that read or write a tensor as large as one; views do neither."""

    def __init__(self, large):
        super().__init__()
        self.numel = large.numel()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, out)) if isinstance(leaf, torch.Tensor)]
        if not func.is_view and any(tensor.numel() >= self.numel for tensor in tensors):
            self.names.append(func.overloadpacket.__name__)
        return out


@pytest.mark.parametrize("bias", [True, False])
def test_each_pass_goes_over_the_large_features_once(bias):
    size = (12, 431)
    conv = BidirectionalFusionConv(32, 32, *sample_bipartite(size), size=size, bias=bias)
    x = tuple(sample_features(4, nodes, 32).requires_grad_() for nodes in size)
    with OpsOn(x[1]) as ops:
        out = conv(x)
    assert ops.names == ["fusion_product"] * 2
    upstream = tuple(tensor.detach() for tensor in x)
    with OpsOn(x[1]) as ops:
        torch.autograd.grad(out, (*x, *conv.parameters()), upstream)
    assert ops.names == ["fusion_product_backward"] * 2


@NUM_EDGES
def test_compiled(num_edges):
    conv, _ = make_conv(num_edges)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager", dynamic=True)
    for batch in (2, 3):
        x = tuple(tensor.requires_grad_() for tensor in features(batch))
        leaves = (*x, *conv.parameters())
        got, wanted = compiled(x), conv(x)
        gradients = [torch.autograd.grad(sum(o.sum() for o in y), leaves) for y in (got, wanted)]
        for actual, expected in zip((*got, *gradients[0]), (*wanted, *gradients[1]), strict=True):
            # Beside 1: the gradients of normalised weights are 0 here, but for rounding.
            assert_close(torch.cat([actual.flatten(), ONE]), torch.cat([expected.flatten(), ONE]))


@NUM_EDGES
def test_exported(num_edges):
    conv, _ = make_conv(num_edges)
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(conv, (features(2),), dynamic_shapes=(((batch, batch)),))
    for actual, expected in zip(program.module()(features(5)), conv(features(5)), strict=True):
        assert_close(actual, expected)


@NUM_EDGES
def test_autocast(num_edges, device):
    conv, edges = make_conv(num_edges, dtype=torch.float32)
    x = features(3, dtype=torch.float32)
    wanted = dense_forward(conv, edges, x)
    conv = conv.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        out = conv(tuple(tensor.to(device) for tensor in x))
    for actual, expected in zip(out, wanted, strict=True):
        assert actual.dtype == torch.bfloat16
        assert_close(actual, expected)
    sum(tensor.float().sum() for tensor in out).backward()
    assert {p.grad.dtype for p in conv.parameters()} == {torch.float32}


@NUM_EDGES
@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_order_of_edges(num_edges, order):
    conv, (edge_index, prior) = make_conv(num_edges)
    number = prior.numel()
    moved = torch.arange(number).flip(0)
    if order == "shuffled":
        moved = torch.randperm(number, generator=torch.Generator().manual_seed(7))
    other = BidirectionalFusionConv(C_IN, C_OUT, edge_index[:, moved], prior[moved], size=SIZE).to(
        DTYPE
    )
    other.load_state_dict(conv.state_dict())
    x = features(2)
    for actual, expected in zip(other(x), conv(x), strict=True):
        assert_close(actual, expected)


@NUM_EDGES
def test_a_batch_is_a_loop(num_edges):
    conv, _ = make_conv(num_edges)
    x = features(3)
    loop = [conv((x[0][i], x[1][i])) for i in range(3)]
    for side, out in enumerate(conv(x)):
        assert_close(out, torch.stack([item[side] for item in loop]))


def test_checkpoint_holds_the_learned_only():
    conv, edges = make_conv(30)
    state = conv.state_dict()
    assert set(state) == {"edge_weight", "bias", "lin.weight", "edge_digest"}
    assert state["edge_digest"].nbytes == 16
    other = BidirectionalFusionConv(C_IN, C_OUT, *edges, size=SIZE).to(DTYPE)
    other.load_state_dict(state)
    for actual, expected in zip(other(features(2)), conv(features(2)), strict=True):
        assert torch.equal(actual, expected)


def test_reset_parameters():
    conv, _ = make_conv()
    conv.reset_parameters()
    assert (conv.edge_weight == 1).all()
    assert (conv.bias == 0).all()
    conv, _ = make_conv(combine="add")
    conv.reset_parameters()
    assert (conv.edge_weight == 0).all()


def test_lazy_input_size():
    conv = BidirectionalFusionConv(-1, C_OUT, *sample_bipartite(SIZE))
    conv(features(2, dtype=torch.float32))
    assert conv.lin.weight.shape == (C_OUT, C_IN)


def test_the_prior_defaults_to_one():
    edge_index, _ = sample_bipartite(SIZE)
    first, _ = BidirectionalFusionConv(1, 1, edge_index).adjacency()
    assert_close(matrix_to_dense(first), torch.full((SECOND, FIRST), 1 / FIRST), torch.float32)


def test_adjacency_is_sparse_matrices():
    conv, _ = make_conv()
    to_second, to_first = conv.adjacency()
    assert isinstance(to_second, SparseMatrix)
    assert to_second.shape == (SECOND, FIRST)
    assert to_first.shape == (FIRST, SECOND)


def test_repr():
    assert str(make_conv()[0]) == "BidirectionalFusionConv(6, 4, size=(5, 11), edges=55)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"combine": "max"}, r"^combine=max: not a way to combine.*Give 'mul' or 'add'"),
        ({"normalize": "col"}, r"^normalize=col: not a normalisation.*'row', 'softmax' or None"),
        ({"size": (4, 11)}, r"^edge_index=source nodes 0\.\.4: the graph has 4.*Give edges"),
        ({"size": (5, 10)}, r"^edge_index=target nodes 0\.\.10: the graph has 10.*Give edges"),
        ({"edge_weight": torch.ones(54)}, r"^edge_weight=\[54\]: there are 55 edges.*Give one"),
    ],
    ids=["combine", "normalize", "first", "second", "prior"],
)
def test_bad_arguments(options, message):
    arguments = {"edge_index": sample_bipartite(SIZE)[0], **options}
    with pytest.raises(InputError, match=message):
        BidirectionalFusionConv(C_IN, C_OUT, **arguments)


def test_an_edge_given_twice():
    # As many edges as the complete graph has, but one of them is missing.
    edge_index, _ = sample_bipartite(SIZE)
    edge_index[:, 0] = edge_index[:, 1]
    with pytest.raises(InputError, match=r"^edge_index=.* twice.*coalesce"):
        BidirectionalFusionConv(C_IN, C_OUT, edge_index, size=SIZE)
