"""Synthetic people to train on: poses, views, 2D joints as a detector finds them, pictures."""

from bilayer_graph.synthetic.crops import SyntheticBodies
from bilayer_graph.synthetic.geometry import GeometrySamples
from bilayer_graph.synthetic.noise_bank import NoiseBank
from bilayer_graph.synthetic.pose_bank import PoseBank
from bilayer_graph.synthetic.scenes import Scenes

__all__ = ["GeometrySamples", "NoiseBank", "PoseBank", "Scenes", "SyntheticBodies"]
