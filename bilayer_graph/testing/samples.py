"""Small problems with a known answer: the same seed gives the same problem on every machine."""

import torch
import trimesh
from torch import Tensor, nn

from bilayer_graph.ops import SparseMatrix


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_graph(
    size: tuple[int, int], num_edges: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Draw distinct edges in random order; some nodes have many, some usually none.

    Args:
        size: Number of source and of target nodes, ``(N, M)``.
        num_edges: Number of edges, at most ``N * M``.
        seed: Seed.
        dtype: Dtype of the weights.

    Returns:
        ``edge_index`` of shape ``[2, E]`` (source, target) and normal ``edge_weight``, ``[E]``.
    """
    generator = _generator(seed)
    cell = torch.randperm(size[0] * size[1], generator=generator)[:num_edges]
    weight = torch.randn(cell.numel(), generator=generator, dtype=torch.float64)
    return torch.stack([cell % size[0], cell // size[0]]), weight.to(dtype)


def sample_bipartite(
    size: tuple[int, int],
    num_edges: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Draw a fusion graph: edges from the first to the second graph with a positive prior.

    Args:
        size: Number of nodes of the first and of the second graph.
        num_edges: Number of distinct edges; ``None`` for the complete bipartite graph.
        seed: Seed.
        dtype: Dtype of the prior.

    Returns:
        ``edge_index`` of shape ``[2, E]``, in random order, and ``edge_weight`` from 0.5 to 4.5.
    """
    number = size[0] * size[1] if num_edges is None else num_edges
    edge_index, weight = random_graph(size, number, seed, torch.float64)
    return edge_index, (0.5 + 4 * weight.sigmoid()).to(dtype)


def sample_features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw normal features of a shape."""
    return torch.randn(shape, generator=_generator(seed), dtype=torch.float64).to(dtype)


def sphere_mesh(subdivisions: int, radius: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return a subdivided icosahedron: closed, genus 0, ``10 * 4**subdivisions + 2`` vertices.

    Returns:
        Vertices ``[N, 3]`` in float32 and faces ``[F, 3]``.
    """
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces)


def to_dense(edge_index: Tensor, edge_weight: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Return a graph as a dense float64 adjacency; parallel edges add up.

    Args:
        edge_index: Source and target of each edge, shape ``[2, E]``.
        edge_weight: Weight of each edge, shape ``[E]``; ``None`` for ones.
        size: Number of source and of target nodes, ``(N, M)``.

    Returns:
        Shape ``[M, N]``, targets as rows, on the CPU.
    """
    dense = torch.zeros(size[1], size[0], dtype=torch.float64)
    source, target = edge_index.cpu()
    weight = torch.ones(source.numel()) if edge_weight is None else edge_weight.detach().cpu()
    return dense.index_put_((target, source), weight.double(), accumulate=True)


def matrix_to_dense(matrix: SparseMatrix) -> Tensor:
    """Return a :class:`~bilayer_graph.ops.SparseMatrix` as a dense float64 tensor ``[M, N]``."""
    rows, columns = matrix.shape
    return to_dense(torch.stack([matrix.col, matrix.row]), matrix.value, (columns, rows))


def sighted(model: nn.Module) -> nn.Module:
    """Give a new model's image inputs random weights; they start at zero, which hides the picture.

    Args:
        model: A :class:`~bilayer_graph.models.BilayerHMR`, or one of its input layers.

    Returns:
        The model itself.
    """
    for name, parameter in model.named_parameters():
        if name.endswith(("lin_patch.weight", "lin_image.weight")):
            nn.init.normal_(parameter, std=parameter.size(1) ** -0.5)
    return model
