import pytest
import torch
import torch_geometric.transforms as T
import trimesh
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphConv, HeteroConv
from torch_geometric.utils import to_dense_adj

from bilayer_graph.body import BodyModel
from bilayer_graph.errors import InputError
from bilayer_graph.graphs import (
    BONE,
    DRIVES,
    EDGE,
    INFORMS,
    bilayer_graph,
    fusion_graph,
    mesh_graph,
    mesh_levels,
    multilevel_graph,
    point_graph,
)
from bilayer_graph.models.template import body_template
from bilayer_graph.testing import assert_close, sample_features, sphere_mesh, to_dense

SPHERES = [sphere_mesh(level) for level in (2, 1, 0)]
POINTS = [sample_features(number, 3, seed=number) for number in (30, 12, 5)]


def assert_same(store, edges):
    edge_index, edge_weight = edges
    assert torch.equal(store.edge_index, edge_index)
    assert torch.equal(store.edge_weight, edge_weight)


@pytest.fixture
def data():
    """Three levels of three kinds, as a user would mix them."""
    fine = trimesh.creation.icosphere(subdivisions=2)
    return multilevel_graph(
        {"fine": fine, "middle": Data(pos=POINTS[1]), "coarse": POINTS[2]}, k=3, level_k=2
    )


def test_node_and_edge_types(data):
    assert data.validate(raise_on_error=True)
    assert data.node_types == ["fine", "middle", "coarse"]
    assert data.edge_types == [
        ("fine", "edge", "fine"),
        ("middle", "edge", "middle"),
        ("coarse", "edge", "coarse"),
        ("middle", "drives", "fine"),
        ("fine", "informs", "middle"),
        ("coarse", "drives", "middle"),
        ("middle", "informs", "coarse"),
    ]
    assert [data[name].num_nodes for name in data.node_types] == [162, 12, 5]
    for store in data.edge_stores:
        assert set(store.keys()) == {"edge_index", "edge_weight"}


def test_levels_of_a_list_are_numbered():
    data = multilevel_graph(POINTS)
    assert data.node_types == ["level0", "level1", "level2"]


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_any_number_of_levels(number):
    levels = [sample_features(40 - 5 * i, 3, seed=i) for i in range(number)]
    data = multilevel_graph(levels, k=2, level_k=4)
    assert len(data.node_types) == number
    assert len(data.edge_types) == number + 2 * (number - 1)
    for i, points in enumerate(levels):
        assert_same(data[f"level{i}", f"level{i}"], point_graph(points, k=4))
    for i in range(number - 1):
        drives, weight = fusion_graph(levels[i + 1], levels[i], k=2)
        assert_same(data[f"level{i + 1}", "drives", f"level{i}"], (drives, weight))
        assert_same(data[f"level{i}", "informs", f"level{i + 1}"], (drives.flip(0), weight))


def test_two_meshes():
    data = multilevel_graph(SPHERES[:2], k=3)
    for name, (vertices, faces) in zip(data.node_types, SPHERES, strict=False):
        assert torch.equal(data[name].pos, vertices)
        assert_same(data[name, name], mesh_graph(faces, len(vertices)))
    # A vertex that both spheres share is its own nearest, a midpoint has both ends of its edge.
    dense = to_dense(*data["level1", "level0"].values(), (42, 162))
    length = (SPHERES[0][0].unsqueeze(1) - SPHERES[1][0]).norm(dim=2)
    assert torch.equal((dense > 0).sum(1), torch.full((162,), 3))
    shared = length.amin(dim=1) < 1e-6
    assert shared.sum() == 42
    assert_close(dense[shared].amax(dim=1), torch.full((42,), 100.0), torch.float32)


def test_two_levels_are_the_body_under_other_names():
    template = body_template(BodyModel.load(), 431)
    body = bilayer_graph(template.joints, template.vertices, template.faces)
    data = multilevel_graph({"vertex": template, "joint": template.joints})
    for edge_type in (EDGE, DRIVES, INFORMS):
        assert_same(data[edge_type], body[edge_type].values())
    assert_same(data["joint", "edge", "joint"], body[BONE].values())


def test_levels_of_a_decimated_mesh():
    mesh = trimesh.creation.icosphere(subdivisions=3)
    levels = mesh_levels(mesh, sizes=[162, 42])
    data = multilevel_graph([mesh, *levels], k=1)
    assert [data[name].num_nodes for name in data.node_types] == [642, 162, 42]
    # The coarser vertices are some of the finer ones, so that each is the nearest to itself.
    for i, level in enumerate(levels):
        nearest = data[f"level{i + 1}", f"level{i}"].edge_index[0]
        assert torch.equal(nearest[level.kept], torch.arange(len(level.kept)))


def test_options_of_each_level_and_each_pair():
    data = multilevel_graph(
        POINTS, [3, None], [None, 4.0], level_k=[6, None, None], level_radius=[None, 1.5, None]
    )
    assert_same(data["level0", "level0"], point_graph(POINTS[0], k=6))
    assert_same(data["level1", "level1"], point_graph(POINTS[1], radius=1.5))
    assert_same(data["level2", "level2"], point_graph(POINTS[2]))
    assert_same(data["level1", "level0"], fusion_graph(POINTS[1], POINTS[0], k=3))
    assert_same(data["level2", "level1"], fusion_graph(POINTS[2], POINTS[1], radius=4.0))


def test_levels_of_one_size():
    data = multilevel_graph([POINTS[0], POINTS[0] + 0.1], k=1)
    assert data["level1", "level0"].num_edges == 30


def test_lower_bound_of_a_distance():
    data = multilevel_graph(POINTS, min_distance=50.0)
    assert_close(data["level1", "level0"].edge_weight, torch.full((360,), 0.02))
    assert_close(data["level2", "level2"].edge_weight, torch.full((25,), 0.2))


def test_points_of_a_plane_in_double_precision():
    data = multilevel_graph([points[:, :2].double() for points in POINTS], k=2, level_k=3)
    assert {store.edge_weight.dtype for store in data.edge_stores} == {torch.float64}


def test_weights_have_the_dtype_of_the_mesh():
    vertices, faces = SPHERES[0]
    data = multilevel_graph([(vertices.double(), faces)])
    weight = data["level0", "level0"].edge_weight
    assert weight.dtype == torch.float64
    assert_close(weight, weight.reciprocal().round().reciprocal())


# PyG


@pytest.mark.parametrize(
    "transform",
    [
        T.ToUndirected(),
        T.ToUndirected(merge=False),
        T.AddSelfLoops("edge_weight"),
        T.AddRemainingSelfLoops("edge_weight"),
        T.RemoveSelfLoops("edge_weight"),
        T.RemoveIsolatedNodes(),
        T.Center(),
        T.Constant(),
        T.ToDevice("cpu"),
    ],
    ids=repr,
)
def test_transforms(data, transform):
    out = transform(data)
    assert out.validate(raise_on_error=True)
    assert out.node_types == data.node_types
    assert set(out.edge_types) >= set(data.edge_types)


def plain(data):
    """The same with plain edges, which PyG can sort."""
    return data.clone().apply(EdgeIndex.as_tensor, "edge_index")


@pytest.mark.parametrize(
    "transform", [T.RemoveDuplicatedEdges("edge_weight"), T.ToSparseTensor("edge_weight")], ids=repr
)
def test_transforms_that_sort(data, transform):
    assert transform(plain(data)).validate(raise_on_error=True)


def test_added_self_loops(data):
    out = T.AddSelfLoops("edge_weight", fill_value=0.5)(data.clone())
    for name in data.node_types:
        before = to_dense_adj(data[name, name].edge_index, edge_attr=data[name, name].edge_weight)
        after = to_dense_adj(out[name, name].edge_index, edge_attr=out[name, name].edge_weight)
        assert_close(after, before + 0.5 * torch.eye(before.size(1)))
    assert_same(out["middle", "fine"], data["middle", "fine"].values())


def test_undirected_has_both_directions(data):
    out = T.ToUndirected()(data.clone())
    informs = data["fine", "informs", "middle"]
    assert_same(out["fine", "rev_drives", "middle"], (informs.edge_index, informs.edge_weight))
    for name in data.node_types:
        assert out[name, name].is_undirected()


def test_sparse_tensors_hold_the_weights(data):
    out = T.ToSparseTensor("edge_weight", layout=torch.sparse_csr)(plain(data))
    for edge_type in data.edge_types:
        size = data[edge_type[0]].num_nodes, data[edge_type[2]].num_nodes
        expected = to_dense(data[edge_type].edge_index, data[edge_type].edge_weight, size)
        assert_close(out[edge_type].adj_t.to_dense(), expected, torch.float32)


def test_meshes_are_normalised_before(data):
    fine, coarse = (
        T.NormalizeScale()(Data(pos=7 * vertices + 5, face=faces.t()))
        for vertices, faces in SPHERES[:2]
    )
    built = multilevel_graph([fine, coarse], k=3)
    assert built["level0"].pos.abs().max() < 1
    assert built["level1", "level0"].edge_weight.max() == 100


def test_to_homogeneous(data):
    flat = data.to_homogeneous()
    assert flat.num_nodes == 162 + 12 + 5
    assert flat.edge_weight.numel() == sum(store.num_edges for store in data.edge_stores)
    assert torch.equal(flat.pos, torch.cat([data[name].pos for name in data.node_types]))


def test_a_batch_is_its_graphs_one_by_one(data):
    convs = {edge_type: GraphConv(3, 4) for edge_type in data.edge_types}
    conv = HeteroConv(convs)

    def run(graph):
        return conv(graph.pos_dict, graph.edge_index_dict, graph.edge_weight_dict)

    other = data.clone()
    for store in other.node_stores:
        store.pos = store.pos + 1
    batch = next(iter(DataLoader([data, other], batch_size=2)))
    assert batch.validate(raise_on_error=True)
    first, second, together = run(data), run(other), run(batch)
    for name in data.node_types:
        assert_close(together[name], torch.cat([first[name], second[name]]))


# Bad input


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([], r"^levels=\[\]: no level\. Give one at least"),
        (SPHERES[0][0], r"^levels=Tensor: not several levels\. Give a list or a dict, from fine"),
        (trimesh.creation.box(), r"^levels=Trimesh: not several levels"),
        ([POINTS[2], POINTS[0]], r"^levels\[1\]=30 nodes: more .* 5 of levels\[0\]\. Order from"),
        (
            {"fine": POINTS[2], "coarse": POINTS[0]},
            r"^levels\['coarse'\]=30 nodes: more nodes than the 5 of levels\['fine'\]",
        ),
        (
            [POINTS[0], POINTS[1][:, :2]],
            r"^levels\[1\]=\[12, 2\]: the points of levels\[0\] have 3 coordinates.*one space",
        ),
        ([POINTS[0], torch.zeros(0, 3)], r"^levels\[1\]=\[0, 3\]: not a list of points"),
        ([POINTS[0], POINTS[1] / 0], r"^levels\[1\]=\[.*inf.*\] in row 0: not finite"),
        ([POINTS[0], "cube.obj"], r"^levels\[1\]=str: neither points nor a mesh"),
        (SPHERES[0], r"^levels\[1\]=torch\.int64: not coordinates"),
        (
            [SPHERES[0], (SPHERES[2][0], SPHERES[1][1])],
            r"^levels\[1\]\.faces=indices 0\.\.41: a mesh of 12 vertices has indices 0\.\.11",
        ),
    ],
    ids=[
        "none",
        "points alone",
        "a mesh alone",
        "coarse to fine",
        "named, coarse to fine",
        "two spaces",
        "an empty level",
        "not finite",
        "a path",
        "vertices and faces as two levels",
        "faces of another mesh",
    ],
)
def test_bad_levels(levels, message):
    with pytest.raises(InputError, match=message):
        multilevel_graph(levels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 6}, r"^k=6: there are 5 nodes of levels\[2\]\. .*from 1 to 5, or None"),
        ({"k": [3]}, r"^k=\[3\]: there are 2 pairs of neighbouring levels\. .*for all, or 2"),
        ({"radius": [1.0] * 3}, r"^radius=\[.*\]: there are 2 pairs"),
        ({"radius": -1.0}, r"^radius=-1\.0: not a distance"),
        ({"k": 2, "radius": 1.0}, r"^radius=1\.0: k=2 is given too"),
        ({"radius": [9.0, 0.1]}, r"^radius=0\.1: 12 of 12 nodes of levels\[1\] have none of .*\[2"),
        ({"level_k": 5}, r"^level_k=5: there are 4 other nodes in levels\[2\]\. .*from 1 to 4"),
        ({"level_k": [1, 2]}, r"^level_k=\[1, 2\]: there are 3 levels\. .*for all, or 3"),
        ({"level_radius": 0.0}, r"^level_radius=0\.0: not a distance"),
        ({"level_k": 2, "level_radius": 1.0}, r"^level_radius=1\.0: level_k=2 is given too"),
        ({"min_distance": 0.0}, r"^min_distance=0\.0: not a distance"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        multilevel_graph(POINTS, **options)


def test_too_many_pairs_inside_a_level():
    with pytest.raises(InputError, match=r"^level_k=None: .*Give level_k or level_radius"):
        multilevel_graph([torch.zeros(9000, 3)])
