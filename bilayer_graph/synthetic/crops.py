"""A synthetic dataset: pictures of dressed bodies with everything that a model is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from bilayer_graph.body.body_model import BodyModel
from bilayer_graph.body.camera import project
from bilayer_graph.render.rasterizer import rasterize_hits
from bilayer_graph.synthetic.backgrounds import sample_backgrounds
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.occluders import add_occluders
from bilayer_graph.synthetic.people import paint_pixels, see_joints
from bilayer_graph.synthetic.sensor import Sensor
from bilayer_graph.synthetic.subject import Subject, person
from bilayer_graph.synthetic.views import sample_cameras

# Pictures rendered together: larger blocks fall out of a CPU's cache.
_BLOCK = 16
_SHAPE_LIMIT = 2.5


class SyntheticBodies(Dataset[dict[str, Tensor]]):
    """Rendered people, or other bodies.

    Sample ``i`` depends on ``seed`` and ``i`` only, not on its batch. Rendering runs on the device
    of the body; the samples stay there. The camera is exactly weak perspective, so labels and
    pictures agree to the pixel.

    Args:
        body: Body model that is posed and rendered.
        size: Number of samples.
        image_size: Side of the pictures in pixels.
        seed: Seed of the dataset; datasets of different seeds share no sample.
        subject: How the body stands, looks and is detected; as dressed people if ``None``.

    Sample (float32, crop coordinates in [-1, 1] with x right and y down, metres in camera axes; of
    a body of J joints, K skinning joints and S shapes; people have 12, 24 and 10):
        - ``image`` ``[3, S, S]``: RGB in [0, 1], in steps of 1/255.
        - ``keypoints`` ``[J, 3]``: x, y, confidence in (0, 1] as of a detector; zeros where missed.
        - ``keypoints_true`` ``[J, 2]``: the projected joints.
        - ``visible`` ``[J]`` bool: inside the picture, not behind an occluder and, by the depth
          buffer, not behind another part of the body.
        - ``vertices`` ``[V, 3]``, ``joints`` ``[J, 3]``: relative to the pelvis.
        - ``global_orient`` ``[3, 3]``, ``body_pose`` ``[K - 1, 3, 3]``, ``betas`` ``[S]``.
        - ``camera`` [3]: (s, tx, ty).
    """

    def __init__(
        self,
        body: BodyModel,
        size: int,
        image_size: int = 224,
        seed: int = 0,
        subject: Subject | None = None,
    ) -> None:
        self.body = body
        self.size = size
        self.image_size = image_size
        self.seed = seed
        self._subject = person(body) if subject is None else subject
        self._sensor = Sensor(self.device)

    @property
    def device(self) -> torch.device:
        """Where samples are rendered and left."""
        return self.body.v_template.device

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Render a batch at once; ``torch.utils.data.DataLoader`` calls this by itself."""
        batch = self.batch(indices)
        return [
            {name: values[place] for name, values in batch.items()} for place in range(len(indices))
        ]

    @torch.no_grad()
    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the samples of ``indices``, collated: every entry has a leading batch dimension.

        Raises:
            IndexError: If an index is outside the dataset.
        """
        indices = [range(self.size)[index] for index in indices]
        blocks = [
            self._block(torch.tensor(indices[start : start + _BLOCK], device=self.device))
            for start in range(0, len(indices), _BLOCK)
        ]
        return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}

    def _block(self, index: Tensor) -> dict[str, Tensor]:
        draws = Draws(self.seed, index)
        # Products of matrices are rounded as their sizes say, so that those are always the same.
        padded = torch.cat([index, index[-1:].expand(_BLOCK - len(index))])
        bodies = self._sample_body(Draws(self.seed, padded))
        sample = {name: values[: len(index)] for name, values in bodies.items()}
        image, visible = self._render(draws, sample)
        points = sample.pop("points")
        box = (points.amax(1) - points.amin(1)).amax(-1)
        return {
            "image": image,
            "keypoints": self._subject.detect(draws, sample["keypoints_true"], visible, box),
            "visible": visible,
            **sample,
        }

    def _sample_body(self, draws: Draws) -> dict[str, Tensor]:
        """Sample shape, pose and camera, and what follows; ``points`` are projected vertices."""
        shapes = self.body.shapedirs.size(-1)
        betas = draws.normal("betas", shapes).clamp(-_SHAPE_LIMIT, _SHAPE_LIMIT)
        pose, orient = self._subject.pose(draws)
        vertices = self.body(betas, pose, orient).vertices
        joints = self.body.joints(vertices)
        camera = sample_cameras(draws, self.body.keypoints(vertices))
        return {
            "keypoints_true": project(joints, camera),
            "global_orient": orient,
            "body_pose": pose,
            "betas": betas,
            "vertices": vertices,
            "joints": joints,
            "camera": camera,
            "points": project(vertices, camera),
        }

    def _render(self, draws: Draws, sample: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Render pictures ``[B, 3, S, S]``, and say which joints ``[B, J]`` are seen in them."""
        side, joints, surface = self.image_size, sample["keypoints_true"], self._subject.surface
        vertices = surface.dress(draws, sample["vertices"])
        pixels = (project(vertices, sample["camera"]) + 1) * (side / 2)
        hits = rasterize_hits(pixels, vertices[..., 2], self.body.faces, side, side)
        image = sample_backgrounds(draws, side)
        paint_pixels(image, hits, surface(draws, vertices, hits))
        image, covered = add_occluders(draws, image, joints)
        joint_depth = sample["joints"][..., 2]
        places, flesh = (joints + 1) * (side / 2), self._subject.flesh
        visible = see_joints(hits, covered, places, joint_depth, flesh)
        return self._sensor(draws, image), visible
