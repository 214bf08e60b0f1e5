"""Functions of tensors that the layers are made of."""

from bilayer_graph.ops.fusion_product import fusion_product
from bilayer_graph.ops.group_norm import group_norm, segment_group_norm
from bilayer_graph.ops.linear import linear
from bilayer_graph.ops.row_norm import row_norm, row_softmax
from bilayer_graph.ops.sddmm import sddmm
from bilayer_graph.ops.sparse_matrix import SparseMatrix, sparse_matrix
from bilayer_graph.ops.spmm import spmm

__all__ = [
    "SparseMatrix",
    "fusion_product",
    "group_norm",
    "linear",
    "row_norm",
    "row_softmax",
    "sddmm",
    "segment_group_norm",
    "sparse_matrix",
    "spmm",
]
