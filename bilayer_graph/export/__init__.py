"""The model and the detector as ONNX files, for programs without torch."""

from bilayer_graph.export.detector import export_detector
from bilayer_graph.export.model import export_model
from bilayer_graph.export.precision import PRECISIONS

__all__ = ["PRECISIONS", "export_detector", "export_model"]
