"""The library that the operations are registered in: ``torch.ops.bilayer_graph``."""

from importlib.util import find_spec

import torch

LIBRARY = torch.library.Library("bilayer_graph", "DEF")
"""Each operation's file defines it here, and says here what runs it on which device."""

HAS_TRITON = find_spec("triton") is not None
"""Whether the CUDA kernels can be built; without, CUDA tensors take the path in plain torch."""
