import pytest
import scipy.sparse
import torch
from torch_geometric import EdgeIndex

from bilayer_graph.errors import InputError
from bilayer_graph.ops import sparse_matrix, spmm
from bilayer_graph.testing import assert_close, matrix_to_dense, random_graph, to_dense

SIZE = (9, 6)


@pytest.fixture
def graph():
    return random_graph(SIZE, 25, seed=4)


def test_holds_the_edges(graph, device):
    matrix, order = sparse_matrix(graph[0].to(device), graph[1].to(device), SIZE)
    assert matrix.shape == (6, 9)
    assert torch.equal(matrix_to_dense(matrix), to_dense(*graph, SIZE))
    assert torch.equal(matrix.edge_index.cpu(), graph[0][:, order.cpu()])
    assert torch.equal(matrix.value.cpu(), graph[1][order.cpu()])
    assert torch.equal(matrix.to_dense().cpu().double(), to_dense(*graph, SIZE))


def test_the_dense_matrix_carries_the_gradient(graph):
    matrix, _ = sparse_matrix(*graph, SIZE)
    matrix = matrix._replace(value=matrix.value.requires_grad_())
    places = torch.arange(54.0).view(6, 9)
    (matrix.to_dense() * places).sum().backward()
    source, target = matrix.edge_index
    assert torch.equal(matrix.value.grad, places[target, source])


def test_parallel_edges_add_up_in_the_dense_matrix():
    matrix, _ = sparse_matrix(torch.tensor([[0, 0], [1, 1]]), torch.tensor([1.0, 2.0]), (1, 2))
    assert matrix.to_dense().tolist() == [[0.0], [3.0]]


def test_agrees_with_scipy(graph):
    matrix, _ = sparse_matrix(*graph, SIZE)
    (source, target), weight = graph[0].numpy(), graph[1].numpy()
    csr = scipy.sparse.coo_matrix((weight, (target, source)), SIZE[::-1]).tocsr()
    assert matrix.rowptr.tolist() == csr.indptr.tolist()
    assert matrix.col.tolist() == csr.indices.tolist()
    assert matrix.value.tolist() == csr.data.tolist()


def test_indices_are_narrow(graph):
    matrix, order = sparse_matrix(*graph, SIZE)
    assert {tensor.dtype for tensor in matrix._replace(value=matrix.col)} == {torch.int32}
    assert matrix.row.dtype == torch.int32
    assert order.dtype == torch.int64


def test_narrow_edges_of_many_pairs():
    """Rows times columns exceed what an int32 can count."""
    size = (100_000, 60_000)
    edge_index, weight = random_graph((500, 400), 2_000, seed=5)
    spread = edge_index * torch.tensor([[200], [150]])
    narrow, _ = sparse_matrix(spread.int(), weight, size)
    source, target = spread.numpy()
    csr = scipy.sparse.coo_matrix((weight.numpy(), (target, source)), size[::-1]).tocsr()
    assert narrow.rowptr.tolist() == csr.indptr.tolist()
    assert narrow.col.tolist() == csr.indices.tolist()
    assert narrow.value.tolist() == csr.data.tolist()


def test_transpose_is_that_of_the_flipped_edges(graph, device):
    edge_index, weight = graph[0].to(device), graph[1].to(device)
    transposed = sparse_matrix(edge_index, weight, SIZE)[0].t()
    expected, _ = sparse_matrix(edge_index.flip(0), weight, SIZE[::-1])
    assert transposed.shape == expected.shape == (9, 6)
    for got, want in zip(transposed, expected, strict=True):
        assert torch.equal(got, want)


def test_transposed_twice_is_the_matrix(graph):
    matrix, _ = sparse_matrix(*graph, SIZE)
    for got, want in zip(matrix.t().t(), matrix, strict=True):
        assert torch.equal(got, want)


def test_the_transpose_carries_the_gradient(graph):
    matrix, _ = sparse_matrix(*graph, SIZE)
    matrix = matrix._replace(value=matrix.value.requires_grad_())
    (matrix.t().value * torch.arange(25.0)).sum().backward()
    assert torch.equal(matrix.value.grad[matrix.perm_t], torch.arange(25.0))


def test_without_weights_all_are_one(graph):
    matrix, _ = sparse_matrix(graph[0], None, SIZE)
    assert torch.equal(matrix.value, torch.ones(25))


def test_a_graph_without_edges():
    matrix, order = sparse_matrix(torch.zeros(2, 0, dtype=torch.long), None, SIZE)
    assert matrix.shape == (6, 9)
    assert matrix.row.numel() == order.numel() == 0


def test_weights_keep_their_gradient(graph):
    weight = graph[1].clone().requires_grad_()
    matrix, order = sparse_matrix(graph[0], weight, SIZE)
    (matrix.value * torch.arange(25.0)).sum().backward()
    assert torch.equal(weight.grad[order], torch.arange(25.0))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[9], [0]], r"^edge_index=source nodes 9\.\.9: the graph has 9 source nodes.*Give edges"),
        ([[0], [6]], r"^edge_index=target nodes 6\.\.6: the graph has 6 target nodes.*Give edges"),
        ([[-1], [0]], r"^edge_index=source nodes -1\.\.-1: .*Give edges between nodes"),
        ([[0], [0], [0]], r"^edge_index=\[3, 1\]: .*Give .*\[2, E\]"),
    ],
)
def test_edges_that_leave_the_graph(edges, message):
    with pytest.raises(InputError, match=message):
        sparse_matrix(torch.tensor(edges), None, SIZE)


def test_one_weight_too_few(graph):
    with pytest.raises(InputError, match=r"^edge_weight=\[24\]: there are 25 edges.*Give one"):
        sparse_matrix(graph[0], graph[1][1:], SIZE)


def test_prints_in_a_line(graph):
    matrix, _ = sparse_matrix(*graph, SIZE)
    assert str(matrix) == repr(matrix) == "SparseMatrix((6, 9), entries=25, float32)"


def test_has_the_size_of_a_tensor(graph):
    matrix, _ = sparse_matrix(*graph, SIZE)
    assert matrix.size() == matrix.shape == tuple(matrix.to_dense().size())


def test_becomes_a_torch_tensor(graph):
    matrix, _ = sparse_matrix(*graph, SIZE)
    matrix = matrix._replace(value=matrix.value.requires_grad_())
    x = torch.rand(9, 4)
    assert_close(matrix.to_torch() @ x, matrix.to_dense() @ x)
    (matrix.to_torch() @ x).sum().backward()
    source, _ = matrix.edge_index
    assert_close(matrix.value.grad, x.sum(1)[source])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_becomes_a_scipy_array(graph, dtype):
    matrix, _ = sparse_matrix(graph[0], graph[1].to(dtype), SIZE)
    array = matrix._replace(value=matrix.value.requires_grad_()).to_scipy()
    assert scipy.sparse.issparse(array)
    array.data[:] = array.data.astype(float)
    assert torch.equal(torch.tensor(array.astype(float).toarray()), matrix.to_dense().double())
    array.data[:] = 0
    assert matrix.value.any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_small_integers(graph, dtype):
    narrow, wide = (sparse_matrix(graph[0].to(d), graph[1], SIZE) for d in (dtype, torch.int64))
    for got, want in zip(narrow[0], wide[0], strict=True):
        assert torch.equal(got, want)


def test_an_edge_index(graph):
    edges = EdgeIndex(graph[0], sparse_size=SIZE)
    for got, want in zip(
        sparse_matrix(edges, graph[1], SIZE)[0], sparse_matrix(*graph, SIZE)[0], strict=True
    ):
        assert type(got) is torch.Tensor
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    "change",
    [
        lambda matrix: {"col": matrix.col[1:]},
        lambda matrix: {"value": matrix.value[1:]},
        lambda matrix: {"rowptr": matrix.rowptr + 1},
        lambda matrix: {"rowptr": matrix.rowptr[:0]},
        lambda matrix: {"rowptr_t": matrix.rowptr_t[:0]},
    ],
)
def test_tensors_of_two_matrices(graph, change):
    matrix, _ = sparse_matrix(*graph, SIZE)
    with pytest.raises(InputError, match=r"^matrix=.*not one matrix.*ops\.sparse_matrix"):
        spmm(matrix._replace(**change(matrix)), torch.rand(9, 2))
