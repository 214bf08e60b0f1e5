"""Synthetic pictures, and pictures of results."""

from bilayer_graph.data.synthetic import SyntheticBodies

__all__ = ["SyntheticBodies"]
