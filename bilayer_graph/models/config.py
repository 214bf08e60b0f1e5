"""What a model is built from, in one flat record."""

import dataclasses
import json
from typing import Any

from bilayer_graph.errors import InputError

BACKBONES = (
    *("resnet50", "resnet18", "mobilenet_v2", "mobilenet_v3_small"),
    *("plain", "movenet", "none"),
)
CHOICES = {
    "backbone": BACKBONES,
    "norm": ("group", "layer"),
    "joint_input": ("node", "pose"),
    "readout": ("free", "posed"),
    "patch": ("linear", "bottleneck"),
}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The sizes and parts of a model; the defaults are the paper's.

    Attributes:
        backbone: ``"resnet50"``, ``"resnet18"``, ``"mobilenet_v2"``, ``"mobilenet_v3_small"`` or
            ``"plain"``, as :func:`~bilayer_graph.models.image_encoder` takes them; ``"movenet"``
            for the frozen :class:`~bilayer_graph.models.MoveNetEncoder`; or ``"none"`` for a model
            that sees the 2D keypoints only.
        image_size: Side of the square pictures in pixels.
        num_vertices: Size of the mesh graph, as :func:`~bilayer_graph.models.body_template` takes.
        channels: Width :math:`C` of the blocks, a multiple of 16.
        num_blocks: Number of Bilayer-Graph blocks.
        norm: ``"group"`` or ``"layer"``, as :class:`~bilayer_graph.nn.BilayerBlock` takes it.
        joint_input: ``"node"``: a joint sees its own 2D position; ``"pose"``: it sees all of them,
            see :class:`~bilayer_graph.models.PoseFeatures`.
        face: Whether the input has all keypoints of the body (COCO's 17 of a human), not only the
            skeleton's joints.
        readout: ``"free"``: a free mesh, and pose and shape from it; ``"posed"``: pose and shape
            from the skeleton, and a mesh that is the posed body plus offsets.
        hidden: Width of the hidden layers that ``joint_input="pose"`` or ``readout="free"`` has.
        patch: ``"linear"``: as the paper, patches at the joints and the pooled feature at the
            vertices each through a linear layer; ``"bottleneck"``: the patches through
            :class:`~bilayer_graph.models.PatchAdapter`, and the vertices see no picture.

    Raises:
        InputError: If a field has another type or none of the values named here.
    """

    backbone: str = "resnet50"
    image_size: int = 224
    num_vertices: int = 1723
    channels: int = 512
    num_blocks: int = 5
    norm: str = "group"
    joint_input: str = "node"
    face: bool = False
    readout: str = "free"
    hidden: int = 1024
    patch: str = "linear"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(value) is not field.type:
                remedy = f"Give a value of type {field.type.__name__}"  # type: ignore[union-attr]
                raise InputError(field.name, repr(value), "of another type", remedy)
            if field.type is int and value < 1:
                raise InputError(field.name, value, "not a size", "Give 1 or more")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                remedy = f"Give one of {list(allowed)}"
                raise InputError(name, getattr(self, name), "no such choice", remedy)
        if self.face and self.joint_input == "node":
            remedy = 'Give joint_input="pose", or face=False'
            raise InputError(
                "face", True, "a joint that sees itself only has no use for it", remedy
            )

    def to_json(self) -> str:
        """Return the record as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ModelConfig":
        """Return the record that :meth:`to_json` wrote.

        Raises:
            InputError: If it is none.
        """
        try:
            fields: Any = json.loads(text)
            return cls(**fields)
        except (ValueError, TypeError, RecursionError) as error:
            remedy = "Give what ModelConfig.to_json writes"
            raise InputError("config", text[:80], f"no model ({error})", remedy) from error


PAPER = ModelConfig()
"""The paper's model: ResNet-50 at 224 pixels, 1723 vertices, width 512, 5 blocks."""

SMALL = ModelConfig(
    backbone="movenet",
    image_size=256,
    num_vertices=431,
    channels=64,
    num_blocks=3,
    norm="layer",
    joint_input="pose",
    face=True,
    readout="posed",
    hidden=768,
    patch="bottleneck",
)
"""The model for a CPU: 2D keypoints, the picture around them, 431 vertices, width 64."""
