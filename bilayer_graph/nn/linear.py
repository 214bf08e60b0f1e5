"""The linear layer of the blocks."""

from torch import Tensor
from torch_geometric.nn.dense.linear import Linear as PyGLinear

from bilayer_graph.ops import linear


class Linear(PyGLinear):
    """PyG's linear layer through :func:`~bilayer_graph.ops.linear`, which is faster on some CPUs.

    Parameters, their start and the arguments are those of :class:`torch_geometric.nn.Linear`; with
    two sizes only, those of :class:`torch.nn.Linear`.

    Shapes:
        - input: ``[.., C_in]``
        - output: ``[.., C_out]``

    Raises:
        InputError: If the features have another number of channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output."""
        return linear(x, self.weight, self.bias)
