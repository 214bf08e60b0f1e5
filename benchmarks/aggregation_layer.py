"""A user's own layer as a row of the aggregation benchmark."""

import importlib
import os
import sys
from collections.abc import Callable

import harness
import torch
from aggregation_problem import Backend, Layout, Problem, Product
from torch import nn

from bilayer_graph.errors import InputError


def own_layer(name: str) -> Backend:
    """Return the row of a layer that a user names.

    The class is called with ``edge_index`` ``[2, E]`` (sources, then targets, sorted by target),
    ``edge_weight`` ``[E]`` and the number of nodes; what it returns is called with ``[B, N, C]``
    and has to return the weighted sums over incoming edges, ``[B, N, C]``.

    Args:
        name: ``module:Class``; the module is looked for in the current folder first.

    Raises:
        InputError: If there is no such module or class.
    """
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name:
        raise InputError("--layer", name, "no name of a class", "Give module:Class")
    sys.path.insert(0, os.getcwd())
    try:
        layer = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # Whatever a user's module raises.
        remedy = "Start where python can import the module, and name a class in it"
        raise InputError("--layer", name, harness.failure(error), remedy) from None
    return Backend(lambda problem: _build(layer, problem), Layout.BATCH_FIRST)


def _build(layer: Callable[..., Product], problem: Problem) -> Product:
    edge_index = torch.stack([problem.source, problem.target])
    product = layer(edge_index, problem.weight, problem.num_nodes)
    return product.to(edge_index.device) if isinstance(product, nn.Module) else product
