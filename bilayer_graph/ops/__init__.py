"""Functions of tensors that the layers are made of."""

from bilayer_graph.ops._fusion_product import fusion_product
from bilayer_graph.ops._group_norm import group_norm
from bilayer_graph.ops._linear import linear
from bilayer_graph.ops._native import use_native
from bilayer_graph.ops._row_norm import row_norm, row_softmax
from bilayer_graph.ops._sddmm import sddmm
from bilayer_graph.ops._segment_group_norm import segment_group_norm
from bilayer_graph.ops._sparse_matrix import SparseMatrix, compress_edges, sparse_matrix
from bilayer_graph.ops._spmm import spmm

__all__ = [
    "SparseMatrix",
    "compress_edges",
    "fusion_product",
    "group_norm",
    "linear",
    "row_norm",
    "row_softmax",
    "sddmm",
    "segment_group_norm",
    "sparse_matrix",
    "spmm",
    "use_native",
]
