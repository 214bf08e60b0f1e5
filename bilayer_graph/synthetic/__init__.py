"""Synthetic people, and other bodies, to train on: poses, views, detected joints, pictures."""

from bilayer_graph.synthetic.coats import Coat
from bilayer_graph.synthetic.crops import SyntheticBodies
from bilayer_graph.synthetic.geometry import GeometrySamples
from bilayer_graph.synthetic.noise_bank import NoiseBank
from bilayer_graph.synthetic.pose_bank import PoseBank
from bilayer_graph.synthetic.scenes import Scenes
from bilayer_graph.synthetic.subject import Subject, Surface, person
from bilayer_graph.synthetic.turned_joints import TurnedJoints

__all__ = [
    "Coat",
    "GeometrySamples",
    "NoiseBank",
    "PoseBank",
    "Scenes",
    "Subject",
    "Surface",
    "SyntheticBodies",
    "TurnedJoints",
    "person",
]
