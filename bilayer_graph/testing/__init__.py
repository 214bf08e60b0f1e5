"""Asserts and sample problems that tests and benchmarks share."""

from bilayer_graph.testing.asserts import TOLERANCES, assert_close
from bilayer_graph.testing.peak import largest_output
from bilayer_graph.testing.samples import (
    matrix_to_dense,
    random_graph,
    sample_bipartite,
    sample_features,
    sighted,
    sphere_mesh,
    to_dense,
)

__all__ = [
    "TOLERANCES",
    "assert_close",
    "largest_output",
    "matrix_to_dense",
    "random_graph",
    "sample_bipartite",
    "sample_features",
    "sighted",
    "sphere_mesh",
    "to_dense",
]
