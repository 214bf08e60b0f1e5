"""What a detector takes as a picture."""

import torch
from torch import Tensor

from bilayer_graph.errors import InputError


def check_image(image: Tensor) -> None:
    """Refuse what is no picture.

    Raises:
        InputError: If it is no float tensor ``[3, H, W]`` with finite values in [0, 1].
    """
    remedy = "Give a float tensor [3, H, W], RGB in [0, 1]"
    if not isinstance(image, Tensor):
        raise InputError("image", type(image).__name__, "not a tensor", remedy)
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise InputError("image", list(image.shape), "not a picture [3, H, W]", remedy)
    if not image.is_floating_point():
        problem = "not floating-point numbers"
        raise InputError("image", image.dtype, problem, "Divide 8-bit pixels by 255")
    low, high = image.aminmax()
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise InputError("image", f"[{low:g}, {high:g}]", "holds NaN or infinity", remedy)
    if low < -0.01 or high > 1.01:
        remedy = "Divide 8-bit pixels by 255" if high > 2 else remedy
        raise InputError("image", f"[{low:g}, {high:g}]", "values outside of [0, 1]", remedy)
