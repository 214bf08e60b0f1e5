"""What a body model is called with: shapes and types, never values, so that calls compile."""

from torch import Tensor

from bilayer_graph.errors import InputError

_ROTATIONS = "; axis_angle_to_matrix makes rotations of axis-angle vectors"


def check_pose(
    betas: Tensor, body_pose: Tensor, global_orient: Tensor, shapedirs: Tensor, joints: int
) -> None:
    """Refuse input that is no pose of a body.

    Args:
        betas: ``[B, S]``, or ``[1, S]`` for one shape in all poses.
        body_pose: ``[B, K - 1, 3, 3]``.
        global_orient: ``[B, 3, 3]``.
        shapedirs: The body's shape directions ``[V, 3, S]``.
        joints: The number K of its skinning joints.

    Raises:
        InputError: If one has another shape, is no floating-point tensor, or on another device.
    """
    _check_shape("body_pose", body_pose, (joints - 1, 3, 3), shapedirs, _ROTATIONS)
    _check_shape("global_orient", global_orient, (3, 3), shapedirs, _ROTATIONS)
    _check_shape("betas", betas, (shapedirs.size(-1),), shapedirs)
    count = body_pose.size(0)
    if global_orient.size(0) != count:
        raise InputError(
            "global_orient",
            tuple(global_orient.shape),
            f"body_pose has {count} bodies",
            "Give as many of both",
        )
    if betas.size(0) != count and betas.size(0) != 1:
        raise InputError(
            "betas",
            tuple(betas.shape),
            f"body_pose has {count} bodies",
            "Give betas for each body, or one row for all",
        )


def check_vertices(vertices: Tensor, template: Tensor) -> None:
    """Refuse meshes that are not of a body's vertices.

    Args:
        vertices: ``[.., V, 3]``.
        template: The body's own ``[V, 3]``.

    Raises:
        InputError: If one has another shape, is no floating-point tensor, or on another device.
    """
    _check_tensor("vertices", vertices, template)
    if vertices.dim() < 2 or vertices.shape[-2:] != template.shape:
        problem = f"not the {template.size(0)} vertices of this body"
        remedy = f"Give [.., {template.size(0)}, 3]"
        raise InputError("vertices", tuple(vertices.shape), problem, remedy)


def _check_shape(
    name: str, tensor: Tensor, wanted: tuple[int, ...], like: Tensor, hint: str = ""
) -> None:
    _check_tensor(name, tensor, like)
    if tensor.dim() != len(wanted) + 1 or tensor.shape[1:] != wanted:
        layout = ", ".join(map(str, ("B", *wanted)))
        problem = f"not of shape [{layout}]"
        raise InputError(name, tuple(tensor.shape), problem, f"Give [{layout}]{hint}")


def _check_tensor(name: str, tensor: Tensor, like: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise InputError(name, type(tensor).__name__, "not a tensor", "Give a torch.Tensor")
    if not tensor.is_floating_point():
        remedy = "Give float32, as tensor.float() makes it"
        raise InputError(name, tensor.dtype, "not floating-point", remedy)
    if tensor.device != like.device:
        remedy = "Move one of them with .to(device)"
        raise InputError(name, tensor.device, f"the body is on {like.device}", remedy)
