"""2D joints of people from a picture."""

from bilayer_graph.detection.detector import DetectedPerson, Detector
from bilayer_graph.detection.movenet_detector import MoveNetDetector

__all__ = ["DetectedPerson", "Detector", "MoveNetDetector"]
