"""The trainings that Lightning runs; nothing else in the package imports it."""

from bilayer_graph.training.lightning.lifting import LiftingTraining
from bilayer_graph.training.lightning.paper import BilayerTraining, mix_keypoints, total_loss
from bilayer_graph.training.lightning.pictured import PicturedTraining

__all__ = ["BilayerTraining", "LiftingTraining", "PicturedTraining", "mix_keypoints", "total_loss"]
