import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.explain.algorithm.utils import set_masks
from torch_geometric.nn import GCNConv
from torch_geometric.nn import GraphConv as PyGGraphConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from bilayer_graph.errors import InputError
from bilayer_graph.nn import GraphConv, StaticGraph
from bilayer_graph.testing import (
    assert_close,
    largest_output,
    random_graph,
    sample_features,
    to_dense,
)

N, E, C_IN, C_OUT = 13, 40, 6, 5
DTYPE = torch.float64
EDGE_INDEX, EDGE_WEIGHT = random_graph((N, N), E, seed=1, dtype=DTYPE)
ADJACENCY = to_dense(EDGE_INDEX, EDGE_WEIGHT, (N, N))


def make_conv(bias=True, dtype=DTYPE):
    torch.manual_seed(0)
    conv = GraphConv(C_IN, C_OUT, bias=bias).to(dtype)
    if bias:
        torch.nn.init.normal_(conv.bias)
    return conv


def features(*batch, dtype=DTYPE):
    return sample_features(*batch, N, C_IN, seed=2, dtype=dtype)


def expected(conv, x):
    out = ADJACENCY @ x.double() @ conv.lin.weight.detach().double().t()
    return out if conv.bias is None else out + conv.bias.detach().double()


def ways():
    """Every form that the same adjacency can come in, as the arguments after x."""
    sparse = torch.sparse_coo_tensor(EDGE_INDEX.flip(0), EDGE_WEIGHT, (N, N)).coalesce()
    return {
        "edges": (EDGE_INDEX, EDGE_WEIGHT),
        "coo": (sparse,),
        "csr": (sparse.to_sparse_csr(),),
        "csc": (sparse.to_sparse_csc(),),
        "matrix": (StaticGraph(EDGE_INDEX, EDGE_WEIGHT, (N, N))(),),
    }


pytestmark = pytest.mark.filterwarnings("ignore:Sparse")  # torch's notices about its sparse tensors
WAYS = pytest.mark.parametrize("way", ["edges", "coo", "csr", "csc", "matrix"])


@WAYS
@pytest.mark.parametrize("batch", [(), (3,)], ids=["one graph", "batch"])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_dense_formula(way, batch, bias):
    conv, x = make_conv(bias), features(*batch)
    assert_close(conv(x, *ways()[way]), expected(conv, x))


@pytest.mark.parametrize("way", ["edges", "matrix"])
def test_on_the_device(way, device):
    conv, x = make_conv(dtype=torch.float32), features(2, dtype=torch.float32)
    weight = EDGE_WEIGHT.float().to(device)
    adjacency = (EDGE_INDEX.to(device), weight)
    if way == "matrix":
        adjacency = (StaticGraph(EDGE_INDEX, EDGE_WEIGHT.float(), (N, N)).to(device)(),)
    assert_close(conv.to(device)(x.to(device), *adjacency), expected(conv.cpu(), x))


def test_without_weights_neighbours_are_added():
    conv, x = make_conv(bias=False), features(2)
    plain = to_dense(EDGE_INDEX, None, (N, N)) @ x @ conv.lin.weight.detach().t()
    assert_close(conv(x, EDGE_INDEX), plain)
    assert_close(conv(x, StaticGraph(EDGE_INDEX, None, (N, N))()), plain)


@WAYS
def test_gradients(way):
    conv, x = make_conv(), features(2).requires_grad_()
    upstream = sample_features(2, N, C_OUT, seed=3, dtype=DTYPE)
    conv(x, *ways()[way]).backward(upstream)
    assert_close(x.grad, ADJACENCY.t() @ upstream @ conv.lin.weight)
    by_weight = torch.einsum("bno,bnc->oc", upstream, ADJACENCY @ x)
    assert_close(conv.lin.weight.grad, by_weight)
    assert_close(conv.bias.grad, upstream.sum((0, 1)))


@pytest.mark.parametrize("way", ["edges", "coo"])
def test_gradient_of_the_edge_weights(way):
    conv, x = make_conv(), features(2)
    weight = EDGE_WEIGHT.clone().requires_grad_()
    adjacency = (EDGE_INDEX, weight)
    if way == "coo":
        adjacency = (torch.sparse_coo_tensor(EDGE_INDEX.flip(0), weight, (N, N)),)
    upstream = sample_features(2, N, C_OUT, seed=3, dtype=DTYPE)
    conv(x, *adjacency).backward(upstream)
    by_entry = torch.einsum("bio,bjo->ij", upstream, conv.lin(x).detach())
    assert_close(weight.grad, by_entry[EDGE_INDEX[1], EDGE_INDEX[0]])


def test_message_agrees_with_message_and_aggregate():
    conv, x = make_conv(), features(3)
    matrix = StaticGraph(EDGE_INDEX, EDGE_WEIGHT, (N, N))()
    by_message = conv.propagate(EDGE_INDEX, x=x, edge_weight=EDGE_WEIGHT)
    assert_close(by_message, conv.message_and_aggregate(matrix, x))


@WAYS
@pytest.mark.parametrize("batch", [(), (2,)], ids=["one graph", "batch"])
def test_only_edges_of_one_graph_build_messages(way, batch, monkeypatch):
    conv = make_conv()

    def message(*args, **kwargs):
        raise AssertionError("the message path ran")

    monkeypatch.setattr(conv, "message", message)
    if way == "edges" and not batch:
        with pytest.raises(AssertionError, match="the message path ran"):
            conv(features(), *ways()[way])
    else:
        conv(features(*batch), *ways()[way])


def test_edges_of_a_batch_compile_to_one_graph():
    conv = make_conv()
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager", dynamic=True)
    for batch in (2, 5):
        assert_close(
            compiled(features(batch), EDGE_INDEX, EDGE_WEIGHT), expected(conv, features(batch))
        )


@pytest.mark.parametrize("batch", [(), (3,)], ids=["one graph", "batch"])
def test_explainers_mask_each_edge(batch):
    conv, x = make_conv(), features(*batch)
    mask = sample_features(E, seed=4, dtype=DTYPE)
    set_masks(conv, mask, EDGE_INDEX, apply_sigmoid=False)
    masked = to_dense(EDGE_INDEX, mask * EDGE_WEIGHT, (N, N))
    wanted = masked @ x @ conv.lin.weight.t() + conv.bias
    assert_close(conv(x, EDGE_INDEX, EDGE_WEIGHT), wanted)


def test_a_static_graph_builds_nothing_larger_than_the_features():
    size, batch, channels = 100, 3, 16
    edge_index, weight = random_graph((size, size), 1000)
    conv, matrix = GraphConv(channels, channels), StaticGraph(edge_index, weight, (size, size))()
    x = sample_features(batch, size, channels, seed=2)
    with largest_output() as largest:
        conv(x, matrix).sum().backward()
    assert largest.numel <= batch * size * channels


def test_permutation_of_nodes():
    conv, x = make_conv(), features(2)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    position = order.argsort()
    permuted = conv(x[:, order], position[EDGE_INDEX], EDGE_WEIGHT)
    assert_close(permuted, conv(x, EDGE_INDEX, EDGE_WEIGHT)[:, order])


def test_order_of_edges():
    conv, x = make_conv(), features(2)
    flipped = conv(x, EDGE_INDEX.flip(1), EDGE_WEIGHT.flip(0))
    assert_close(flipped, conv(x, EDGE_INDEX, EDGE_WEIGHT))


@WAYS
def test_a_batch_is_a_loop(way):
    conv, x = make_conv(), features(3)
    loop = torch.stack([conv(item, *ways()[way]) for item in x])
    assert_close(conv(x, *ways()[way]), loop)


def test_a_disjoint_union_is_a_batch():
    conv, x = make_conv(), features(3)
    graphs = [Data(x=item, edge_index=EDGE_INDEX, edge_weight=EDGE_WEIGHT) for item in x]
    union = Batch.from_data_list(graphs)
    out = conv(union.x, union.edge_index, union.edge_weight)
    assert_close(out.view(3, N, C_OUT), conv(x, *ways()["matrix"]))


def test_lazy_input_size():
    conv = GraphConv(-1, C_OUT)
    conv(features(2, dtype=torch.float32), EDGE_INDEX)
    assert conv.lin.weight.shape == (C_OUT, C_IN)


def test_reset_parameters():
    conv = make_conv()
    conv.reset_parameters()
    assert (conv.bias == 0).all()
    assert not torch.equal(conv.lin.weight, make_conv().lin.weight)


def test_repr():
    assert str(GraphConv(6, 5)) == "GraphConv(6, 5)"


def test_features_of_another_graph():
    conv = make_conv()
    with pytest.raises(InputError, match=r"^x=\[2, 12, 5\]: the matrix has 13 columns.*Give"):
        conv(features(2)[:, 1:], *ways()["matrix"])


BETWEEN = torch.tensor([[0, 12, 12], [0, 1, 3]])
BAD_EDGES = {
    "source outside": (BETWEEN + torch.tensor([[1], [0]]), r"source nodes 1\.\.13: .*13 source"),
    "target outside": (BETWEEN + torch.tensor([[0], [1]]), r"target nodes 1\.\.4: .*4 target"),
    "negative source": (BETWEEN - torch.tensor([[1], [0]]), r"source nodes -1\.\.11: .*13 source"),
    "negative target": (BETWEEN - torch.tensor([[0], [1]]), r"target nodes -1\.\.2: .*4 target"),
    "swapped": (BETWEEN.flip(0), r"target nodes 0\.\.12: .*fit swapped: edge_index\.flip\(0\)"),
    "rows of pairs": (BETWEEN.t(), r"\[3, 2\]: not a list of edges.*\[2, E\]"),
    "real numbers": (BETWEEN.double(), r"torch\.float64: .*integer"),
    "EdgeIndex": (EdgeIndex(BETWEEN, sparse_size=(13, 5)) + 1, r"source nodes 1\.\.13"),
    "array": (BETWEEN.numpy(), r"ndarray: not edges.*tensor \[2, E\]"),
    "nothing": (None, r"NoneType: not edges.*tensor \[2, E\]"),
}


@pytest.mark.parametrize("name", BAD_EDGES)
def test_edges_that_leave_the_graph(name):
    edges, message = BAD_EDGES[name]
    with pytest.raises(InputError, match=f"^edge_index={message}"):
        make_conv()((features(2), features(2)[:, :4]), edges)


@pytest.mark.parametrize("way", ["coo", "csr", "matrix"])
def test_weights_beside_an_adjacency_that_has_its_own(way):
    with pytest.raises(InputError, match=r"^edge_weight=\[40\]: a sparse adjacency has its own"):
        make_conv()(features(), *ways()[way], EDGE_WEIGHT)


def test_weights_as_a_list():
    with pytest.raises(InputError, match=r"^edge_weight=list: not a tensor.*\[E\]"):
        make_conv()(features(), EDGE_INDEX, EDGE_WEIGHT.tolist())


def test_targets_of_no_known_number():
    conv, x = make_conv(), features(2)
    assert conv((x, None), BETWEEN).shape == (2, N, C_OUT)
    with pytest.raises(InputError, match=r"^edge_index=target nodes 10\.\.13: .*13 target nodes"):
        conv((x, None), BETWEEN + torch.tensor([[0], [10]]))
    with pytest.raises(InputError, match=r"^edge_index=target nodes 0\.\.3: .*3 target nodes"):
        conv((x, None), BETWEEN, size=(N, 3))
    with pytest.raises(InputError, match=r"^edge_index=target nodes 0\.\.3: .*2 target nodes"):
        conv((x, None), EdgeIndex(BETWEEN, sparse_size=(N, 2)))


def test_no_edges():
    conv = make_conv()
    assert_close(conv(features(), torch.zeros(2, 0, dtype=torch.long)), conv.bias.expand(N, -1))


def static_forms():
    """The same graph in every form, and what its weights are."""
    sparse = torch.sparse_coo_tensor(EDGE_INDEX.flip(0), EDGE_WEIGHT, (N, N)).coalesce()
    return {
        "EdgeIndex": (EdgeIndex(EDGE_INDEX, sparse_size=(N, N)), EDGE_WEIGHT),
        "coo": (sparse, None),
        "csr": (sparse.to_sparse_csr(), None),
    }


@pytest.mark.parametrize("form", ["EdgeIndex", "coo", "csr"])
def test_a_static_graph_of_any_form(form):
    graph = StaticGraph(*static_forms()[form])
    for tensor, expected in zip(graph(), ways()["matrix"][0], strict=True):
        assert type(tensor) is torch.Tensor
        assert torch.equal(tensor, expected)


def test_a_static_graph_is_a_constant():
    weight = EDGE_WEIGHT.clone().requires_grad_()
    assert not StaticGraph(EDGE_INDEX, 2 * weight, (N, N))().value.requires_grad


def test_a_static_graph_of_no_known_size():
    with pytest.raises(InputError, match=r"^size=None: .*Give \(num_sources, num_targets\)"):
        StaticGraph(EDGE_INDEX, EDGE_WEIGHT)


def test_a_static_graph_is_in_no_checkpoint_and_moves_with_the_model(device):
    graph = StaticGraph(EDGE_INDEX, EDGE_WEIGHT, (N, N)).to(device)
    assert not graph.state_dict()
    assert {tensor.device.type for tensor in graph()} == {device.type}
    assert graph().shape == (N, N)


def test_a_trained_gcn_conv_with_its_normalised_graph():
    """What docs/layers.md tells those who come from PyG."""
    theirs, ours = GCNConv(C_IN, C_OUT).double(), make_conv()
    ours.load_state_dict(theirs.state_dict())
    edges, weight = gcn_norm(EDGE_INDEX, None, N, dtype=DTYPE)
    assert_close(ours(features(), edges, weight), theirs(features(), EDGE_INDEX))
    with pytest.raises(RuntimeError, match="lin_rel"):
        ours.load_state_dict(PyGGraphConv(C_IN, C_OUT).state_dict())
