"""Graph layers for objects seen at two scales, and the human mesh recovery model made of them."""

import importlib
import importlib.metadata
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bilayer_graph.person import Person
    from bilayer_graph.predict import Predictor

__all__ = ["Person", "Predictor"]
__version__ = importlib.metadata.version("bilayer_graph")

with warnings.catch_warnings():
    # PyG's own use of TorchScript; nothing that a user of this package could change.
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
    import torch_geometric.nn  # noqa: F401


def __getattr__(name: str) -> Any:
    # Those who come for the layers do not wait for the detector and the renderer.
    homes = {"Person": "bilayer_graph.person", "Predictor": "bilayer_graph.predict"}
    if name not in homes:
        raise AttributeError(f"module 'bilayer_graph' has no attribute {name!r}")
    return getattr(importlib.import_module(homes[name]), name)
