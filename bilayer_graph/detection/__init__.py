"""2D joints of people from a picture."""

from bilayer_graph.detection.detector import KEYPOINT_NAMES, DetectedPerson, Detector
from bilayer_graph.detection.movenet_detector import MoveNetDetector

__all__ = ["KEYPOINT_NAMES", "DetectedPerson", "Detector", "MoveNetDetector"]
