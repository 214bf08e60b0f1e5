"""The trainings that Lightning runs; nothing else in the package imports it."""

from bilayer_graph.training.lightning.lifting import LiftingTraining
from bilayer_graph.training.lightning.paper import BilayerTraining, mix_keypoints, total_loss

__all__ = ["BilayerTraining", "LiftingTraining", "mix_keypoints", "total_loss"]
