"""The skeleton of a body that is no human, as fields of its file."""

from collections.abc import Mapping

import numpy as np

from bilayer_graph.body.field_error import FieldError
from bilayer_graph.body.joints import HUMAN, Skeleton

SKELETON_FIELDS = ("joint_regressor", "joint_names", "bones", "root")


def pack_skeleton(skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Return the fields of a skeleton; its names, in one line of text, are numbers like the rest.

    Args:
        skeleton: Joints without spaces in their names.
    """
    return {
        "joint_names": np.frombuffer(" ".join(skeleton.names).encode(), np.uint8),
        "bones": np.array(skeleton.bones, np.uint8).reshape(-1, 2),
        "root": np.array(skeleton.root, np.uint8),
    }


def unpack_skeleton(fields: Mapping[str, np.ndarray]) -> Skeleton:
    """Return the skeleton that a body's fields name; a human's if they name none.

    Raises:
        FieldError: If a field is missing, or bones or root name a joint that is not there.
    """
    if "joint_names" not in fields:
        return HUMAN
    missing = [name for name in SKELETON_FIELDS if name not in fields]
    if missing:
        raise FieldError(f"lacks the field {', '.join(missing)}")
    names = _names(fields["joint_names"])
    joints = len(fields["joint_regressor"])
    if len(names) != joints:
        problem = f"the field joint_names has {len(names)} names for {joints} joints"
        raise FieldError(f"{problem} of joint_regressor")
    bones = _joints(fields, "bones", (-1, 2), joints)
    root = _joints(fields, "root", (-1,), joints)
    if not len(root):
        raise FieldError("the field root is empty")
    return Skeleton(names, tuple((int(a), int(b)) for a, b in bones), tuple(map(int, root)))


def _names(text: object) -> tuple[str, ...]:
    if not isinstance(text, np.ndarray) or text.dtype != np.uint8 or text.ndim != 1:
        raise FieldError("the field joint_names is no text of bytes")
    try:
        names = tuple(text.tobytes().decode("ascii").split())
    except UnicodeDecodeError:
        raise FieldError("the field joint_names is no ASCII text") from None
    if len(set(names)) < len(names):
        raise FieldError("the field joint_names names a joint twice")
    return names


def _joints(
    fields: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], joints: int
) -> np.ndarray:
    array = np.asarray(fields[name])
    if array.dtype.kind not in "iu" or array.ndim != len(shape) or array.shape[1:] != shape[1:]:
        layout = " x ".join("any" if size < 0 else str(size) for size in shape)
        raise FieldError(f"the field {name} is {array.dtype} {array.shape}, not integers {layout}")
    if array.size and (array.min() < 0 or array.max() >= joints):
        raise FieldError(f"the field {name} names a joint beyond {joints}")
    return array
