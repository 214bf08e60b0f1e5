"""A training that has gone astray stops at once."""

from torch import Tensor

from bilayer_graph.errors import InputError


def check_finite(name: str, value: Tensor, step: int) -> Tensor:
    """Return a loss or a norm; raise :class:`InputError` if it is not finite.

    The checkpoint of the last epoch is from before it.

    Args:
        name: What the value is.
        value: A scalar.
        step: Number of the step, and so of the batch.
    """
    if not value.isfinite():
        remedy = "Go on from the last checkpoint with --resume and a lower --lr"
        raise InputError(name, f"{float(value.detach()):g}", f"not finite in batch {step}", remedy)
    return value
