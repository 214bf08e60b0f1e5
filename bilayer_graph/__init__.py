"""Graph layers for objects seen at two scales, and the human mesh recovery model made of them."""

import warnings

with warnings.catch_warnings():
    # PyG's own use of TorchScript; nothing that a user of this package could change.
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
    import torch_geometric.nn  # noqa: F401
